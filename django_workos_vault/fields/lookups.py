"""Lookups on encrypted columns: ``isnull`` works, everything else says why it cannot."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models.lookups import Exact, IsNull, Lookup

if TYPE_CHECKING:
    _Lookup = Lookup[Any]
else:
    _Lookup = Lookup


def lookup_class(name: str) -> "type[Lookup[Any]]":
    """Return the class for the lookup ``name``. One that cannot work raises FieldError when used."""
    if name == "isnull":
        return IsNull
    if name == "exact":
        return _ExactNone
    return type("RefusedLookup", (_Refused,), {"lookup_name": name})


def refusal(field: Any, name: str) -> FieldError:
    """Return the error for the lookup ``name`` on ``field``. It never quotes the value searched for."""
    return FieldError(
        f"Cannot look up {field} by {name}: equal values have different ciphertexts, and ciphertext has no "
        "order and no parts. Only isnull works on this field."
    )


class _Refused(_Lookup):
    def __init__(self, lhs: Any, rhs: Any) -> None:
        raise refusal(lhs.output_field, str(self.lookup_name))


class _ExactNone(Exact):
    """``filter(x=None)``, which Django turns into ``isnull``."""

    def __init__(self, lhs: Any, rhs: Any) -> None:
        if rhs is not None:
            raise refusal(lhs.output_field, "exact")
        super().__init__(lhs, rhs)
