"""Copy a plaintext column into the encrypted one that takes over from it, or back."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import CharField, IntegerField, Model, TextField

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.maintenance.cells import CannotOpen, CellReader, faults_of_row, is_null
from django_workos_vault.maintenance.operations.base import context_of, holds_the_same_value

_DIFFER = (
    "Its columns hold different values, and nobody but you knows which one is right. Empty the other one."
)
#: Fields of one Python type.
_FAMILIES: tuple[tuple[Any, ...], ...] = ((CharField, TextField), (IntegerField,))
_LONG = (
    "Its value is longer than the plaintext column takes, or has a NUL in it. Widen the column, or assign a "
    "value without."
)


class Copying:
    """Seals the values of ``plain``, a field of the same model, or with ``back`` writes opened ones there.

    A row is done when both columns hold the same value. Where they do not, and the one to be written is not
    NULL, the row is left alone: who wrote it last cannot be told. With ``overwrites`` it is written.
    """

    def __init__(self, plain: str, *, back: bool = False, overwrites: bool = False) -> None:
        self.keys_made = 0
        self.plain = plain
        self.back = back
        self._overwrites = overwrites
        self._reader = CellReader()

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        for field in () if self.back else fields:
            keyring = field.vault.keyring
            made = keyring.counters.created
            needed = [row for row in rows if self.plain_value(row) is not None]
            keyring.prepare(field.scheme.contexts_of(needed))
            self.keys_made += keyring.counters.created - made

    def plain_value(self, row: Model) -> Any:
        """Return what the plaintext column of ``row`` holds."""
        return getattr(row, self.plain_field(row).attname)

    def plain_field(self, row: Model | type[Model]) -> Any:
        """Return the plaintext column's field."""
        return row._meta.get_field(self.plain)

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        plain = self.plain_value(instance)
        sealed = None if is_null(field, instance) else self._reader.open(field, instance)
        if plain == sealed:
            return False
        source, target = (sealed, plain) if self.back else (plain, sealed)
        if target is not None and not self._overwrites:
            raise CannotOpen("ValuesDiffer", _DIFFER)
        if self.back and not _fits(self.plain_field(instance), source):
            raise CannotOpen("DoesNotFit", _LONG)
        if not self.back and source is not None:
            context_of(field, instance)
        return True

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        with faults_of_row():
            sealed = field.sealed(self.plain_value(instance), instance)
        return None if sealed is None else sealed.cell

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        copy = type(old).__new__(type(old))
        copy.__dict__.update(old.__dict__)
        setattr(copy, field.attname, self.plain_value(old))
        holds_the_same_value(field, copy, new)


def _fits(column: Any, value: Any) -> bool:
    """Whether a server takes a text: it would refuse the whole batch, SQLite nothing."""
    if not isinstance(value, str):
        return True
    return "\x00" not in value and (column.max_length is None or len(value) <= column.max_length)


def refusal(fields: Sequence[EncryptedField], plain: str) -> str:
    """Return why ``plain`` cannot be copied to, or from, the one field of ``fields``, or nothing."""
    if len(fields) != 1:
        return "Name one encrypted column, as app.Model.field, and its plaintext column with --plain."
    [field] = fields
    try:
        column: Any = field.model._meta.get_field(plain)
    except FieldDoesNotExist as exc:
        return f"--plain: {exc}"
    if isinstance(column, VaultField) or not column.concrete or column.is_relation:
        return f"--plain: {column} is no plaintext column."
    if not _takes(field, column):
        return f"--plain: {column} is a {column.get_internal_type()}, and {field} a {field.plain_type}."
    return ""


def _takes(field: EncryptedField, column: Any) -> bool:
    """Whether the values of ``column`` come back from ``field`` as what they were."""
    for family in _FAMILIES:
        if isinstance(field, family):
            return isinstance(column, family)
    return bool(column.get_internal_type() == field.plain_type)
