"""What an instance holds of a stored cell: ``Sealed`` until somebody reads the attribute."""

import copy
import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.db.models.query_utils import DeferredAttribute

from django_workos_vault.fields.django_internals.frames import caller_moves_values, caller_refreshes
from django_workos_vault.fields.scheme import NOT_LOADED, Row

UNOPENED: Any = object()

#: Types whose values cannot be changed in place. For others, save() has to notice.
PLAIN = frozenset(
    (
        type(None),
        str,
        bytes,
        bool,
        int,
        float,
        Decimal,
        datetime.date,
        datetime.datetime,
        datetime.time,
        datetime.timedelta,
        UUID,
    )
)

#: Cells of one result set whose keys are unwrapped together when the first of them is opened.
NEIGHBOURS = 1000


class ForeignCell(bytes):
    """Text or a number in the place of a cell: SQLite keeps what type it was given.

    The bytes are no cell that could be opened. ``stored`` is what goes back into the column.
    """

    stored: Any

    @classmethod
    def of(cls, stored: Any) -> "ForeignCell":
        """Return the stand-in for what the database gave."""
        cell = cls(str(stored).encode())
        cell.stored = stored
        return cell


class Withheld:
    """What an instance holds of a stored value until somebody reads the attribute.

    ``field`` is the field whose value it is. ``row`` is what the row held in the columns that choose the
    value's key, or that the value is bound to, when it was loaded or stored; None for a field that depends on
    none.
    """

    __slots__ = ("field", "row")

    field: Any
    row: Row | None

    def open(self, instance: Model | None = None) -> Any:
        """Return the value; ``instance`` is its row. Raises EnvelopeError or VaultError."""
        raise NotImplementedError

    def note_row(self, instance: Model) -> None:
        """Note what the row just loaded holds in the columns that this value depends on."""

    def complete(self, instance: Model) -> None:
        """Fetch what was deferred of the row that this value depends on."""
        if self.row is not None and NOT_LOADED in self.row:
            self.row = self.field.scheme.completed(self.row, instance)

    def __str__(self) -> str:
        return ""  # what a widget shows that knows nothing of such values


class Sealed(Withheld):
    """One stored cell of one instance. Opened at most once; pickled and copied as ciphertext.

    ``neighbours`` are cells of the same result set and column, whose keys are fetched along with this one's.
    """

    __slots__ = ("_encoded", "_opened", "cell", "neighbours")

    def __init__(
        self, cell: bytes, field: Any, neighbours: list[bytes] | None = None, row: Row | None = None
    ) -> None:
        self.cell = cell
        self.field = field
        self.neighbours = neighbours
        self.row = row
        self._opened = UNOPENED

    def open(self, instance: Model | None = None) -> Any:
        """Return the value. Raises EnvelopeError or VaultError when the cell cannot be opened."""
        if self._opened is UNOPENED:
            if instance is not None and self.row is not None:
                self.complete(instance)
            self.field.open_held(self)
        return self._opened

    def note_row(self, instance: Model) -> None:
        if self.row is None and self.field.scheme.row_columns:
            self.row = self.field.scheme.row_of(instance)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is the very object that this cell was opened to."""
        return self._opened is value

    def remember(self, value: Any, encoded: bytes | None) -> None:
        """Take ``value``, whose plaintext bytes are ``encoded``, for what the cell opens to."""
        self._encoded = None if type(value) in PLAIN else encoded
        self._opened = value

    def has_changed(self) -> bool:
        """Whether the value was changed in place since the cell was opened, like a list appended to."""
        if self._opened is UNOPENED or self._encoded is None:
            return False
        changed: bool = self.field.encoded(self._opened) != self._encoded
        return changed

    def __repr__(self) -> str:
        return f"<Sealed {self.field}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.has_changed():
            return _itself, (self._opened,)  # not saved yet, so there is no cell of it
        return Sealed, (self.cell, self.field, None, self.row)

    def __copy__(self) -> "Sealed":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if self.has_changed():
            return copy.deepcopy(self._opened, memo)
        return Sealed(self.cell, self.field, None, self.row)


def _itself(value: Any) -> Any:
    return value


class SealedAttribute(DeferredAttribute):
    """The attribute of an encrypted field: opens on reading, keeps the cell when nothing was assigned.

    It is a data descriptor and keeps its value in the instance's ``__dict__`` under the field's name, where
    Django looks for it to tell loaded fields from deferred ones.
    """

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self.attname: str = field.attname

    def __get__(self, instance: Model | None, owner: Any = None) -> Any:
        if instance is None:
            return self
        attname = self.attname
        try:
            value = instance.__dict__[attname]
        except KeyError:
            super().__get__(instance, owner)  # loads a deferred field into __dict__
            value = instance.__dict__[attname]
        if type(value) is not Sealed:
            return value
        if caller_moves_values() and not value.has_changed():
            return value
        if value._opened is not UNOPENED:
            return value._opened
        if value.row is not None:
            value.complete(instance)
        return value.field.open_held(value)

    def __set__(self, instance: Model, value: Any) -> None:
        if type(value) is Sealed:
            instance.__dict__[self.attname] = value
            return
        held, attname = instance.__dict__, self.attname
        if attname in held and type(held[attname]) is Sealed and held[attname].holds(value):
            return  # row.x = row.x leaves the cell alone
        if value is None and self._may_be_another(instance):
            names = names_set_to_null(instance)
            names.discard(attname) if caller_refreshes() else names.add(attname)
        held[attname] = value

    def _may_be_another(self, instance: Model) -> bool:
        """Whether None would replace a value: one that is there, or one that was deferred."""
        held = instance.__dict__
        return held[self.attname] is not None if self.attname in held else not instance._state.adding


def names_set_to_null(instance: Model) -> set[str]:
    """Return the encrypted attributes of ``instance`` that the program set to None since the last save.

    Others are None because the column was NULL; nothing in the attribute tells one from the other.
    """
    names: set[str] = instance._state.__dict__.setdefault("workos_vault_nulls", set())
    return names


def opened(value: Any) -> Any:
    """Return the value of a cell that a program gives to a field, and any other value as it is."""
    return value.open() if type(value) is Sealed else value


def stored_cell(instance: Model, field_name: str) -> bytes:
    """Return the stored bytes of one encrypted attribute of a loaded or saved instance, unopened.

    Raises ValueError when the attribute is NULL or holds a value that was assigned and not saved yet.
    """
    held = instance.__dict__.get(field_name)
    if type(held) is not Sealed:
        raise ValueError(f"{instance._meta.label}.{field_name} holds no stored cell.")
    return held.cell
