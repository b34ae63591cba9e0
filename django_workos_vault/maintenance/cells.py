"""Stored cells, row by row: for the tools that go through whole columns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import BinaryField, F, Model, Prefetch, QuerySet
from django.db.models.base import ModelState
from django.db.models.expressions import Col

from django_workos_vault import envelope
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    VaultUnavailable,
    WrongKey,
    is_outage,
)
from django_workos_vault.fields.cell import opened, stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.frame_locals import forget_locals

#: wrapped keys whose refusal a tool remembers
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that cannot be opened: where it is, the class of the reason, and what a person can be told."""

    column: str
    pk: Any
    reason: str
    message: str


class CannotOpen(Exception):
    """A cell cannot be opened, for a ``reason`` (a class name) that concerns this cell and its key alone."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def of(self, field: EncryptedField, instance: Model) -> BadCell:
        """Return this as a record of the cell of ``instance``."""
        return BadCell(str(field), instance.pk, self.reason, str(self))


def encrypted_fields(model: type[Model]) -> list[EncryptedField]:
    """Return the encrypted fields whose columns are in the model's own table."""
    return [field for field in model._meta.local_concrete_fields if isinstance(field, EncryptedField)]


def rows(fields: list[EncryptedField], using: str) -> QuerySet[Model]:
    """Return all rows of the fields' one model, with the relations that their key contexts read.

    Managers are passed over: a default manager may hide rows. So would a join with the relations, of a row
    whose related row is gone.
    """
    queryset: QuerySet[Model] = QuerySet(fields[0].model, using=using)
    return queryset.prefetch_related(*prefetches(fields, using))


class StoredBytes(F):
    """An encrypted column as the bytes it holds, for reading and comparing them in the database."""

    def resolve_expression(self, *args: Any, **kwargs: Any) -> Any:
        column: Any = super().resolve_expression(*args, **kwargs)
        return _Bytes(column.alias, column.target, BinaryField())


class _Bytes(Col):
    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # the field's would open the cell


def batches(queryset: QuerySet[Model], size: int, start_after: Any = None) -> Iterator[list[Model]]:
    """Yield the rows in lists of ``size`` by primary key, beginning behind ``start_after``."""
    last = start_after
    while True:
        rest = queryset if last is None else queryset.filter(pk__gt=last)
        batch = list(rest.order_by("pk")[:size])
        if not batch or (last is not None and batch[-1].pk == last):
            return  # a key that the database holds otherwise than it is read comes again behind itself
        yield batch
        last = batch[-1].pk


def is_null(field: EncryptedField, instance: Model) -> bool:
    """Whether the column is NULL in a row just loaded from the database."""
    return instance.__dict__[field.attname] is None


class CellReader:
    """Opens cells one after the other. A key that Vault refused is not asked for again."""

    def __init__(self) -> None:
        # Bounded below: who writes to the column could make each cell's another.
        self._refused: dict[tuple[bytes, bytes], CannotOpen] = {}

    @property
    def knows_refusals(self) -> bool:
        """Whether a key was refused so far."""
        return bool(self._refused)

    def open(self, field: EncryptedField, instance: Any) -> Any:
        """Return the value of a stored cell that is not NULL.

        Raises CannotOpen when this cell, or its key, is the reason; another VaultError in an outage.
        """
        cell = parsed(field, instance)
        key = cell.commitment, cell.key_reference
        if key in self._refused:
            raise self._refused[key]
        try:
            return opened(getattr(instance, field.attname))
        except (WrongKey, VaultError) as exc:
            if concerns_all(exc):
                raise
            if len(self._refused) >= REMEMBERED:
                self._refused.clear()
            self._refused[key] = _cannot_open(exc)
            raise self._refused[key] from None
        except EnvelopeError as exc:
            raise _cannot_open(exc) from None


def concerns_all(error: object) -> bool:
    """Whether ``error`` says nothing of one cell: in an outage, or where Vault was not asked for its key."""
    return is_outage(error) or (isinstance(error, VaultUnavailable) and not error.was_asked)


@contextmanager
def faults_of_row() -> Iterator[None]:
    """Raise CannotOpen for what is wrong with another cell or column of a row that the block needs."""
    try:
        yield
    except (EnvelopeError, InvalidVaultConfiguration, VaultError) as exc:
        if concerns_all(exc):
            raise
        raise _cannot_open(exc) from None


def parsed(field: EncryptedField, instance: Model) -> envelope.Envelope:
    """Return the envelope of a stored cell that is not NULL. Raises CannotOpen."""
    try:
        return envelope.parse(stored_cell(instance, field.attname))
    except EnvelopeError as exc:
        forget_locals(exc)
        raise _cannot_open(exc) from None


def _cannot_open(exc: EnvelopeError | VaultError | InvalidVaultConfiguration) -> CannotOpen:
    return CannotOpen(type(exc).__name__, str(exc))


def relations(fields: Sequence[EncryptedField]) -> set[str]:
    """Return the relations that the key contexts of ``fields`` are read through, as paths of a prefetch."""
    return {path for field in fields for path in field.scheme.context_relations}


def prefetches(fields: Sequence[EncryptedField], using: str) -> list[Any]:
    """Return what gets those relations for rows of the database ``using``.

    From where they are written: a replica may lag behind, and what it says would choose the keys.
    """
    found: dict[str, Any] = {}
    for path in sorted(relations(fields)):
        model: Any = fields[0].model
        alias, names = using, path.split("__")
        for end, name in enumerate(names, start=1):
            row = model.__new__(model)  # which routers are told of, as they are of a row that was read
            row._state = ModelState()
            row._state.db = alias
            lookup = "__".join(names[:end])
            model = model._meta.get_field(name).related_model
            if model is None:  # a generic relation
                found[lookup] = lookup
                break
            alias = router.db_for_write(model, instance=row)
            found.setdefault(lookup, Prefetch(lookup, model._base_manager.using(alias)))
    return list(found.values())
