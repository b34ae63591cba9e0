"""Give the cells of a renamed column its new label, while others go on writing the rows."""

from functools import partial
from typing import Any

from django.db.models import Model, QuerySet

from django_workos_vault import envelope
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.maintenance.reencryption.swap import still_holds

_PASSES = 5


class CellsKeptOldLabel(Exception):
    """Rows kept changing under the run, and some cells still have an older label. Run it again."""


def seal_for_own_label(field: EncryptedField, using: str, batch_size: int) -> None:
    """Seal every cell of ``field``'s column that has another label than the field's.

    A cell is replaced only if it did not change since it was read. Raises EnvelopeError or VaultError when
    one cannot be opened: the field must know its label. Raises CellsKeptOldLabel.
    """
    wanted = envelope.label_id(field.label)
    for _ in range(_PASSES):
        missed = 0
        for batch in cells.batches(cells.rows([field], using), batch_size):
            for row in batch:
                held = row.__dict__[field.attname]
                if _label_id(held) not in (None, wanted) and not _swap(field, row, held, using):
                    missed += 1
        if not missed:
            return
    raise CellsKeptOldLabel(f"{missed} cells of {field} kept changing.")


def _swap(field: EncryptedField, row: Model, held: Any, using: str) -> bool:
    value = patiently(partial(getattr, row, field.attname))
    sealed = patiently(partial(field.sealed, value, row))
    rows: QuerySet[Model] = QuerySet(type(row), using=using)
    same = rows.filter(still_holds(field, held.cell), pk=row.pk)
    return bool(same.update(**{field.attname: sealed}))


def _label_id(held: Any) -> bytes | None:
    try:
        return envelope.parse(held.cell).label_id if type(held) is Sealed else None
    except EnvelopeError:
        return None  # it opens under no label
