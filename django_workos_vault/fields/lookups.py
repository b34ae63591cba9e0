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
        f"{_what_would_answer(field, name)} More: manage.py vault_check --explain searching."
    )


def _what_would_answer(field: Any, name: str) -> str:
    if name == "iexact" and not field.digests.holds_text:
        name = "exact"  # only text has cases
    kind, asked = _ANSWERED_BY.get(name, ("", ""))
    asks_text = name in _OF_TEXT and not field.digests.compare_texts
    if not kind or asks_text or IndexAdvice(field).would_reveal:
        return "No blind index answers this one: narrow the rows down otherwise, and compare in Python."
    asked = f", and ask {field.name}__{asked}" if asked else ""
    if field.blind_indexes:
        return f"Append {kind} to the field's blind_indexes, of django_workos_vault.indexes{asked}."
    return f"Declare blind_indexes=[{kind}] on the field, of django_workos_vault.indexes{asked}."


#: which blind index answers a lookup of Django's, and by which lookup where it has a name of its own
_ANSWERED_BY = {
    "exact": ("Exact()", ""),
    "in": ("Exact()", ""),
    "iexact": ("CaseFolded()", ""),
    "startswith": ("FirstCharacters(count=3)", "first3"),
    "endswith": ("LastCharacters(count=4)", "last4"),
}
_OF_TEXT = {"startswith", "endswith"}


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
