"""System checks of blind indexes: each finds its fault, and says nothing without it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core import checks
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import (
    BlindIndex,
    CaseFolded,
    Compound,
    Exact,
    LastCharacters,
    Normalised,
)
from tests.app.models import Account, Voter

UNIQUE = models.UniqueConstraint(BlindIndex("code"), name="unique_code")


def declared(field: Any, **meta: Any) -> type[models.Model]:
    options = type("Meta", (), {"app_label": "app", **meta})
    attributes = {"code": field, "Meta": options, "__module__": __name__, "__str__": lambda self: "row"}
    return type("Row", (models.Model,), attributes)


def ids(model: type[models.Model]) -> list[str]:
    return [str(message.id).removeprefix("django_workos_vault.") for message in model.check()]


FIELDS: dict[str, tuple[Callable[[], Any], dict[str, Any], list[str]]] = {
    "right": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Exact()]),
        {"constraints": [UNIQUE]},
        [],
    ),
    "named twice": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Exact(), Exact()]),
        {"constraints": [UNIQUE]},
        ["E030", "W030"],
    ),
    "named like a lookup": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Normalised(name="contains", by=str.strip)]),
        {"constraints": [UNIQUE]},
        ["E030"],
    ),
    "no kind": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=["exact"]),  # type: ignore[list-item]
        {},
        ["E030"],
    ),
    "too few bits": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Exact(bits=1)]),
        {"indexes": [models.Index(BlindIndex("code"), name="i")]},
        ["E030"],
    ),
    "no characters": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[LastCharacters(count=0)]),
        {"indexes": [models.Index(BlindIndex("code"), name="i")]},
        ["E030"],
    ),
    "compound with nothing": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Compound(name="c", with_fields=("id",))]),
        {"constraints": [UNIQUE]},
        ["E030"],
    ),
    "few choices": (
        lambda: EncryptedCharField(max_length=9, choices=[("f", "f"), ("m", "m")], blind_indexes=[Exact()]),
        {"constraints": [UNIQUE]},
        ["E031"],
    ),
    "ciphertext in a constraint": (
        lambda: EncryptedCharField(max_length=9),
        {"constraints": [models.UniqueConstraint(fields=["code"], name="u")]},
        ["E032"],
    ),
    "ciphertext in an index": (
        lambda: EncryptedCharField(max_length=9),
        {"indexes": [models.Index(fields=["code"], name="i")]},
        ["E032"],
    ),
    "ciphertext in unique_together": (
        lambda: EncryptedCharField(max_length=9),
        {"unique_together": [("code", "id")]},
        ["E032"],
    ),
    "no such index": (lambda: EncryptedCharField(max_length=9), {"constraints": [UNIQUE]}, ["E033"]),
    "unique by a part": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Exact(bits=16)]),
        {"constraints": [UNIQUE]},
        ["E034"],
    ),
    "not indexed": (lambda: EncryptedCharField(max_length=9, blind_indexes=[CaseFolded()]), {}, ["W030"]),
    "indexed behind another column": (
        lambda: EncryptedCharField(max_length=9, blind_indexes=[Exact()]),
        {"indexes": [models.Index("id", BlindIndex("code"), name="i")]},
        ["W030"],
    ),
}


@pytest.mark.parametrize("name", FIELDS)
@isolate_apps("tests.app")
def test_declaration(name: str) -> None:
    """Each fault has its own id."""
    field, meta, expected = FIELDS[name]
    assert ids(declared(field(), **meta)) == expected


@pytest.mark.parametrize("option", ["unique", "db_index"])
@isolate_apps("tests.app")
def test_refused_options_show_the_blind_index_way(option: str) -> None:
    """unique=True and db_index=True are answered with the code to write instead."""
    [message] = declared(EncryptedCharField(max_length=9, **{option: True})).check()
    assert "blind_indexes=[Exact()]" in str(message.hint)
    assert 'BlindIndex("code")' in str(message.hint)


@pytest.mark.django_db
def test_databases_without_expression_indexes_are_named() -> None:
    """MariaDB scans and enforces nothing; the check says so, where it applies."""
    messages = [m.id for m in checks.run_checks(databases=["default"]) if "W031" in str(m.id)]
    assert bool(messages) == (not connection.features.supports_expression_indexes)


def test_test_models_are_clean() -> None:
    """The models of these tests are right, so the faults above are the declarations'."""
    assert Account.check() == Voter.check() == []
