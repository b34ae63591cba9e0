"""Lookups on encrypted columns: ``isnull`` works, blind indexes answer some, the rest say why they cannot."""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models.lookups import Exact, IsNull, Lookup

from django_workos_vault.fields.index_advice import IndexAdvice
from django_workos_vault.fields.search import digest_lookup


def lookup_class(field: Any, name: str) -> "type[Lookup[Any]] | None":
    """Return the class for the lookup ``name``, None for Django to ask for a transform of that name."""
    if name == "isnull":
        return NullTest
    if field.digests.slots_for(name):
        return digest_lookup(name)
    if name == "exact":
        return _ExactNone
    return None


def refusal(field: Any, name: str) -> FieldError:
    """Return the error for the lookup ``name`` on ``field``. It never quotes the value searched for."""
    answered = sorted({name for _, kind in field.digests.slots for name in (kind.name, *kind.lookups)})
    return FieldError(
        f"Cannot look up {field} by {name}: equal values have different ciphertexts, and ciphertext has no "
        f"order and no parts. This field has: {', '.join(['isnull', *answered])}. "
        f"{IndexAdvice(field).of_lookup(name)} More: manage.py vault_check --explain searching."
    )


class NullTest(IsNull):
    """Asks nothing of ciphertext but whether it is there, also in a table's definition."""

    def process_lhs(self, compiler: Any, connection: Any, lhs: Any = None) -> Any:
        lhs = self.lhs if lhs is None else lhs
        return super().process_lhs(compiler, connection, getattr(lhs, "as_ciphertext", lambda: lhs)())


class _ExactNone(Exact):
    """``filter(x=None)``, which Django turns into ``isnull``."""

    def __new__(cls, lhs: Any = None, rhs: Any = None) -> Any:
        if rhs is not None:  # before there is an object: error reports show half-made ones, with the value
            del rhs
            raise refusal(lhs.output_field, "exact")
        return super().__new__(cls, lhs, rhs)
