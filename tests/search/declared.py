"""A model for each encrypted type, with a column for each kind of blind index."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.fields import encrypted
from django_workos_vault.indexes import (
    CaseFolded,
    Compound,
    Digits,
    Exact,
    FirstCharacters,
    LastCharacters,
    Normalised,
)
from django_workos_vault.querysets import EncryptedManager
from tests.app.everything import TYPES, encrypted_class, encrypted_field, plain_field
from tests.tables import tables


def shout(text: str) -> str:
    """A normaliser as a project writes it."""
    return text.upper()


#: column: its blind indexes.
COLUMNS: dict[str, list[Any]] = {
    "exact": [Exact()],
    "few": [Exact(bits=8)],
    "folded": [CaseFolded(exact=True)],
    "digits": [Digits(exact=True)],
    "shouted": [Normalised(name="shout", by=shout, exact=True)],
    "last": [LastCharacters()],
    "first": [FirstCharacters()],
    "several": [None, Exact(), Exact(version=2), LastCharacters(bits=9), CaseFolded()],
    "pair": [Compound(name="pair", with_fields=("other",))],
    "other": [],
}
PAIR = {"pair", "other"}

#: Each twin by its own class, and each type through ``encrypted()``.
MADE_BY: dict[str, tuple[str, Any]] = {
    **{name: (name, encrypted_field) for name in TYPES},
    **{
        f"encrypted({n})": (n, lambda n, **o: encrypted(plain_field(n), **o))
        for n in TYPES
        if encrypted_class(n)
    },
}

_MORE: dict[str, list[Any]] = {
    "binary": [bytes(range(7, 7 + length)) for length in (1, 31, 32, 33, 64)],
    "char": ["a" * 32, "Straße 12345678"],
}


def values_of(name: str) -> list[Any]:
    """Return the values to write into a field of the type ``name``."""
    return [*TYPES[name].values, *_MORE.get(name, [])]


def text_of(name: str, value: Any) -> str:
    """Return ``value`` as a form or a fixture has it."""
    field = plain_field(name)
    field.set_attributes_from_name("x")
    return json.dumps(value) if name == "json" else str(field.value_to_string(SimpleNamespace(x=value)))


def make_model(made_by: str, columns: dict[str, list[Any]] = COLUMNS) -> Any:
    """Return the model for one entry of :data:`MADE_BY`."""
    name, make = MADE_BY[made_by]
    attributes: dict[str, Any] = {
        column: make(name, **({"blind_indexes": kinds} if kinds else {})) for column, kinds in columns.items()
    }
    attributes |= {"objects": models.Manager(), "sealed": EncryptedManager(), "__module__": __name__}
    attributes["Meta"] = type(
        "Meta", (), {"app_label": "app", "db_table": f"indexed_{list(MADE_BY).index(made_by)}"}
    )
    return type("Indexed", (models.Model,), attributes)


@contextmanager
def all_models(columns: dict[str, list[Any]] = COLUMNS) -> Iterator[dict[str, Any]]:
    """Make every model and its table, and drop the tables in the end."""
    made = {}
    for name in MADE_BY:
        with isolate_apps("tests.app"):
            made[name] = make_model(name, columns)
    with tables(*made.values()):
        yield made
