"""Give the files of a renamed field its new label, while others go on writing the rows."""

from datetime import UTC, datetime
from functools import partial

from django.db import transaction

from django_workos_vault import envelope
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.cells import batches
from django_workos_vault.maintenance.files.beginnings import Beginning
from django_workos_vault.maintenance.files.columns import rows_with_files
from django_workos_vault.maintenance.files.many import Beginnings
from django_workos_vault.maintenance.files.renewal import FileRenewal
from django_workos_vault.maintenance.operations import Resealing
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.maintenance.reencryption.labels import CellsKeptOldLabel

_PASSES = 5
_ROWS_AT_A_TIME = 500
#: Any data key of today will do: the label is what is to be another.
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def seal_files_for_own_label(field: EncryptedFileField, using: str) -> None:
    """Seal each file of ``field`` that has another label than the field's, into a file that takes its place.

    One that is missing, or is none of ours, opens under no label, and stays. Raises CannotOpen or VaultError
    for one that cannot be opened, what the storage does for one that it does not give, and
    CellsKeptOldLabel where rows get other files all the time.
    """
    renewal = FileRenewal(field, Resealing(_LONG_AGO), using)
    wanted = envelope.label_id(field.label)
    for _ in range(_PASSES):
        missed = 0
        for batch in batches(rows_with_files(field, using), _ROWS_AT_A_TIME):
            names = (str(getattr(row, field.attname).name) for row in batch)
            for row, outcome in zip(batch, Beginnings(field.storage).of(names), strict=True):
                if _label_id(outcome) not in (None, wanted):
                    made = patiently(partial(renewal.made, row))
                    assert made is not None  # noqa: S101  # only other wrappings are written over files
                    with transaction.atomic(using=using):
                        taken = renewal.take_over(made)
                    renewal.delete_unused(made.name if taken else made.copy)
                    missed += not taken
        if not missed:
            return
    raise CellsKeptOldLabel(f"{missed} files of {field} kept changing.")


def _label_id(outcome: Beginning | Exception) -> bytes | None:
    if isinstance(outcome, FileNotFoundError):
        return None
    if isinstance(outcome, Exception):
        raise outcome
    try:
        return outcome.header().label_id
    except EnvelopeError:
        return None
