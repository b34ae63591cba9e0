"""Lookups on columns of references: whether there is one, and whether it is this very one."""

from typing import Any

from django.db.models.lookups import Exact, In, Lookup

from django_workos_vault.fields.lookups import NullTest


def lookup_class(name: str) -> type[Any]:
    """Return the class for the lookup ``name``; one that says why not, for all that there are not."""
    return {"isnull": NullTest, "exact": _Exact, "in": _In}.get(name, _Refused)


class _OfReferences(Lookup):
    reads_ciphertext = True

    def __init__(self, lhs: Any, rhs: Any) -> None:
        if hasattr(rhs, "resolve_expression"):
            raise lhs.output_field.lookup_refusal()
        super().__init__(lhs, rhs)


class _Exact(_OfReferences, Exact):
    pass


class _In(_OfReferences, In):
    pass


class _Refused(Lookup):
    lookup_name = "refused"

    def __init__(self, lhs: Any, rhs: Any) -> None:
        raise lhs.output_field.lookup_refusal()
