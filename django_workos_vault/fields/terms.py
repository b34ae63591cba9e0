"""What a query looks for in a blind index: a value, which shows itself nowhere."""

from typing import Any

from django.core.exceptions import FieldError, ValidationError
from django.db import DataError
from django.db.models import GenericIPAddressField

from django_workos_vault.blind import FULL_BITS, Compound, Exact, Kind
from django_workos_vault.fields.cell import opened
from django_workos_vault.frame_locals import leaves_no_locals

#: What equals no stored value.
NOTHING: Any = object()


class Term:
    """A value searched for. It is digested when the query is compiled, and shown nowhere before.

    Not earlier: building a query must not need Vault or the database, which async code could not wait for.
    Never pickled in clear: a pickled queryset holds the digests.
    """

    __slots__ = ("_digests", "_field", "_lookup", "_value")

    def __init__(self, field: Any, lookup: str, value: Any) -> None:
        self._field = field
        self._lookup = lookup
        self._value = self._searched(opened(value))

    @leaves_no_locals
    def _searched(self, value: Any) -> Any:
        """Return a value searched for, prepared as stored ones are.

        None when it means NULL, :data:`NOTHING` when no stored value equals it. Raises what the Django field
        raises for a value of another type, without quoting it.
        """
        field, lookup, digests = self._field, self._lookup, self._field.digests
        kind = digests.slots_for(lookup)[0][1]
        try:
            if isinstance(kind, Compound):
                pairs = zip(digests.members(kind), value, strict=True)
                return [member.digests.prepared(part) for member, part in pairs]
            typed = isinstance(value, str) and not digests.holds_text
            if typed and kind.of_text and lookup not in Exact.lookups:
                return value  # a part of a number's text need not be a number
            if lookup == "iexact" and typed:
                value = field.to_python(value)
                field.encoding.equal(digests.prepared(value))
            prepared = digests.prepared(value)
            # Stored as NULL, an empty address still equals none, as in Django's column.
            return NOTHING if prepared is None and isinstance(field, GenericIPAddressField) else prepared
        except ArithmeticError:
            return NOTHING  # out of any column's range
        except ValidationError as exc:
            refused: Exception = ValidationError(
                f"{field} does not take the value searched for.", code=exc.code
            )
        except Exception as exc:
            error = TypeError if isinstance(exc, TypeError) else ValueError
            refused = error(f"{field} does not take the value searched for ({type(exc).__name__}).")
        if lookup == "iexact":
            return NOTHING  # Django compares texts there, and this is not the text of any value
        raise refused

    @property
    def is_null(self) -> bool:
        """Whether the field takes the value for NULL."""
        return self._value is None

    @leaves_no_locals
    def digests(self, kind: Kind) -> list[bytes]:
        """Return the digests to look for in the index ``kind``: one per label of the field.

        None when the column could not hold such a value.
        """
        message = self.message(kind)
        return [] if message is None else self._field.digests.under_each_label(kind, message)

    @leaves_no_locals
    def message(self, kind: Kind) -> bytes | None:
        """Return what a stored value must be normalised to, None where none can.

        Raises TypeError, which never quotes it, when the field does not take such a value.
        """
        if self._value is None or self._value is NOTHING:
            return None
        digests = self._field.digests
        try:
            if isinstance(kind, Compound):
                combined: bytes | None = digests.combined(kind, self._value)
                return combined
            return kind.searched(digests.input(kind, self._value), self._field.encoding.equal)
        except (ArithmeticError, DataError, ValueError):
            return None  # out of the column's range
        except Exception as exc:
            # Django's errors quote the value, and so would a chained exception.
            reason = type(exc).__name__
        raise TypeError(f"{self._field} does not take the value searched for ({reason}).")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and (self._field, self._value) == (other._field, other._value)

    def __hash__(self) -> int:
        return hash(self._field)

    def __repr__(self) -> str:
        return f"<a value of {self._field}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> "Term":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        kinds = [kind for _, kind in self._field.digests.slots_for(self._lookup) if kind.bits == FULL_BITS]
        return _DigestedTerm, (self._field, self._lookup, {kind: self.digests(kind) for kind in kinds})


class _DigestedTerm(Term):
    """A term that came out of a pickle: its digests, without the value."""

    __slots__ = ()

    def __init__(self, field: Any, lookup: str, digests: dict[Kind, list[bytes]]) -> None:
        self._field = field
        self._lookup = lookup
        self._value = None
        self._digests = digests

    def digests(self, kind: Kind) -> list[bytes]:
        try:
            return self._digests[kind]
        except KeyError:
            raise self._lost(kind) from None

    def message(self, kind: Kind) -> bytes:
        raise self._lost(kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _DigestedTerm) and self._digests == other._digests

    __hash__ = Term.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        return _DigestedTerm, (self._field, self._lookup, self._digests)

    def _lost(self, kind: Kind) -> FieldError:
        return FieldError(
            f"This query on {self._field} was pickled, which kept only digests, and the index {kind.name!r} "
            "cannot work with them. Build the query again."
        )
