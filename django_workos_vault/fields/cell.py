"""What an instance holds of a stored cell: ``Sealed`` until somebody reads the attribute."""

import copy
import datetime
import sys
from collections.abc import Iterator
from decimal import Decimal
from types import CodeType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.serializers.xml_serializer import Serializer as XMLSerializer
from django.db.models import Field, Model
from django.db.models.fields.related_descriptors import ForwardOneToOneDescriptor
from django.db.models.query import QuerySet
from django.db.models.query_utils import DeferredAttribute
from django.db.models.sql.compiler import SQLInsertCompiler

from django_workos_vault.frame_locals import forget_locals

if TYPE_CHECKING:
    from django_workos_vault.fields.field import EncryptedFieldMixin

UNOPENED: Any = object()

# Values of other types may be changed in place, and save() has to notice.
_IMMUTABLE = frozenset(
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


def _code_of(function: Any) -> Iterator[CodeType]:
    """Yield the function's code and that of its comprehensions, which up to Python 3.11 have frames."""
    yield function.__code__
    yield from (const for const in function.__code__.co_consts if isinstance(const, CodeType))


# Django's own code that moves a value from one place to another without looking at it. It gets the cell
# as it is: refresh_from_db() would otherwise open every cell, and fail on one that cannot be opened;
# full_clean() would turn a cell nobody touched into an assigned value, and open all of a row's for any
# constraint of the model; loaddata would seal anew; dumpdata in XML asks every value whether it is None;
# a child makes its parent's instance of its own values, also to be deleted.
MOVES_VALUES = {
    id(code): code  # by identity: hashing a code object takes as long as opening a cell
    for function in (
        Field.pre_save,
        Model.refresh_from_db,
        Model.clean_fields,
        Model._get_field_expression_map,  # type: ignore[attr-defined]
        Model._save_table,  # type: ignore[attr-defined]
        SQLInsertCompiler.pre_save_val,
        XMLSerializer.handle_field,
        QuerySet.bulk_update,
        ForwardOneToOneDescriptor.get_object,
    )
    for code in _code_of(function)
}


_REFRESHES = Model.refresh_from_db.__code__


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


def moves_values(function: Any) -> None:
    """Let another package's ``function``, too, move values from one place to another without opening them."""
    MOVES_VALUES.update((id(code), code) for code in _code_of(function))


class Withheld:
    """What an instance holds of a stored value until somebody reads the attribute.

    ``row`` is what the row held in the columns that choose the value's key, or that the value is bound to
    (see ``rows``), when it was loaded or stored; None for a field that depends on none.
    """

    __slots__ = ()

    field: Any
    row: tuple[Any, ...] | None

    def open(self) -> Any:
        """Return the value. Raises EnvelopeError or VaultError when it cannot be had."""
        raise NotImplementedError

    def __str__(self) -> str:
        return ""  # what a widget shows that knows nothing of such values


class Sealed(Withheld):
    """One stored cell of one instance. Opened at most once; pickled and copied as ciphertext.

    ``neighbours`` are cells of the same result set and column, whose keys are fetched along with this one's.
    """

    __slots__ = ("_encoded", "_opened", "cell", "field", "neighbours", "row")

    field: "EncryptedFieldMixin"

    def __init__(
        self,
        cell: bytes,
        field: "EncryptedFieldMixin",
        neighbours: list[bytes] | None = None,
        row: tuple[Any, ...] | None = None,
    ) -> None:
        self.cell = cell
        self.field = field
        self.neighbours = neighbours
        self.row = row
        self._opened = UNOPENED

    def open(self) -> Any:
        """Return the value. Raises EnvelopeError or VaultError when the cell cannot be opened."""
        if self._opened is UNOPENED:
            try:
                value = self.field.open_cell(self.cell, self.neighbours, self.row)
            except Exception as exc:
                forget_locals(exc)  # a column may still hold plaintext, this cell's or its neighbours'
                raise
            self._encoded = None if type(value) in _IMMUTABLE else self.field.encoded(value)
            self._opened = value
            self.neighbours = None
        return self._opened

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is the very object that this cell was opened to."""
        return self._opened is value

    def remember(self, value: Any, encoded: bytes | None) -> None:
        """Take ``value``, whose plaintext bytes are ``encoded``, for what the cell opens to."""
        self._encoded = None if type(value) in _IMMUTABLE else encoded
        self._opened = value

    def has_changed(self) -> bool:
        """Whether the value was changed in place since the cell was opened, like a list appended to."""
        if self._opened is UNOPENED or self._encoded is None:
            return False
        return self.field.encoded(self._opened) != self._encoded

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
        if id(sys._getframe(1).f_code) in MOVES_VALUES and not value.has_changed():
            return value
        if value.row is not None:
            value.field.complete_row(value, instance)
        return value.open() if value._opened is UNOPENED else value._opened

    def __set__(self, instance: Model, value: Any) -> None:
        held, attname = instance.__dict__, self.attname
        if attname in held and type(held[attname]) is Sealed and held[attname].holds(value):
            return  # row.x = row.x leaves the cell alone
        if value is None and self._may_be_another(instance):
            if sys._getframe(1).f_code is _REFRESHES:
                names_set_to_null(instance).discard(attname)
            else:
                names_set_to_null(instance).add(attname)
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
