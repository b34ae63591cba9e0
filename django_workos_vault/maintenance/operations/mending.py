"""Seal anew only what is not as its field would seal it now: label, row binding, blind indexes.

Under the key that the application seals with: no data key is made for it.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import CellReader, faults_of_row, parsed
from django_workos_vault.maintenance.operations.base import context_of, holds_the_same_value


class Mending:
    """Heirs say which cells need it."""

    keys_made = 0

    def __init__(self) -> None:
        self._reader = CellReader()

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        pass

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        if not self.is_needed(field, instance):
            return False
        self._reader.open(field, instance)
        context_of(field, instance)
        return True

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        if not self.examine(field, instance):
            return None
        with faults_of_row():
            return field.seal_value(self._reader.open(field, instance), instance)

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        holds_the_same_value(field, old, new)

    def is_needed(self, field: EncryptedField, instance: Model) -> bool:
        """Return whether the cell is another than its field would make. Raises CannotOpen."""
        raise NotImplementedError


class Relabelling(Mending):
    """From the labels of ``previous_labels`` to the field's own."""

    def is_needed(self, field: EncryptedField, instance: Model) -> bool:
        return parsed(field, instance).label_id != envelope.label_id(field.label)


class Rebinding(Mending):
    """From the rows' identities of ``previous_bind_to`` to those of ``bind_to``."""

    def is_needed(self, field: EncryptedField, instance: Model) -> bool:
        scheme = field.scheme
        identity = scheme.identities(scheme.whole_row_of(instance))[0]
        return parsed(field, instance).binding != identity


class Reindexing(Mending):
    """To the digests of the blind indexes that the field declares now."""

    def is_needed(self, field: EncryptedField, instance: Model) -> bool:
        carried = parsed(field, instance).digests
        digests = field.digests
        if len(carried) != DIGEST_BYTES * len(field.blind_indexes):
            return True
        value = self._reader.open(field, instance) if digests.slots else None
        return any(
            not self._has(digests, kind, value, instance, carried[slot * DIGEST_BYTES :][:DIGEST_BYTES])
            for slot, kind in digests.slots
        )

    def _has(self, digests: Any, kind: Any, value: Any, instance: Model, carried: bytes) -> bool:
        with faults_of_row():
            digest = digests.digest_of(kind, value, digests.held_with(kind, instance))
        return digest is None or digest.raw == carried  # none where it is random, and equals nothing
