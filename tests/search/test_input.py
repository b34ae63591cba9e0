"""What may be searched for: the twins answer every input as the plain field does."""

import datetime as dt
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from tests.app.everything import TYPES, PlainEverything
from tests.search.declared import MADE_BY, all_models

pytestmark = pytest.mark.django_db

JUNK: list[Any] = [
    *(
        "",
        "x",
        "12e",
        "0",
        "007",
        "1.5",
        "-1",
        "nan",
        "inf",
        "true",
        "True",
        "2026-02-30",
        "25:00",
        "300.1.1.1",
    ),
    *("9" * 25, "1e400", "12345678", "2026-11-22", "::ffff:10.0.0.1", "{", "Grüße", "a" * 5000, "1/2", "1-2"),
    *(0, 1, -1, 2**31, 2**63, 10**30, -(10**30), 1.5, float("nan"), float("inf"), -0.0, True, False),
    *(Decimal("1.5"), Decimal("1e30"), Decimal("NaN"), b"", b"x", b"a" * 32),
    *(dt.date(2026, 11, 22), dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.time(1), dt.timedelta(1), UUID(int=1)),
    *([], [1], {}, {"a": 1}, (), object),
]

#: What views and forms of Django's world are ready for.
TOLD_TO_USERS = (ValueError, TypeError, ValidationError)
BROKE = "broke"

#: PostgreSQL answers nothing more in a transaction after a statement that failed.
SAVEPOINT: Any = transaction.atomic if connection.vendor == "postgresql" else nullcontext

#: Types for which a database knows more equal values than Python: by collation, by converting numbers.
GENEROUS = {"mysql": {"char", "json", "binary"}, "postgresql": {"duration"}}.get(connection.vendor, set())


@pytest.fixture(scope="module")
def indexed(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """The models, with their tables outside of any test's transaction."""
    with django_db_blocker.unblock(), all_models() as models:
        yield models


def answer(model: Any, lookup: str, value: Any) -> Any:
    """The keys of the rows found, the class of the error in building the query, or BROKE in running it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = model.objects.filter(**{lookup: value}).values_list("pk", flat=True)
        except Exception as exc:
            return type(exc)
        try:
            with SAVEPOINT():
                return sorted(found)
        except TOLD_TO_USERS:
            return BROKE
        except Exception:
            if model is not PlainEverything:
                raise
            return BROKE


def questions(name: str) -> Iterator[tuple[str, Any]]:
    # Whether a JSON text equals a number differs between databases.
    alike = {"json": (str, int, float, Decimal)}.get(name, ())
    for value in [*(v for v in JUNK if not isinstance(v, alike)), *TYPES[name].values]:
        yield "exact", value
        yield "in", [value]
        yield "in", [value, TYPES[name].values[0]]
        yield "in", value
        yield "isnull", value


@pytest.mark.parametrize("name", [name for name in TYPES if name not in GENEROUS])
def test_junk_is_answered_as_by_the_plain_field(indexed: dict[str, Any], name: str) -> None:
    """The same rows, or the same error while the query is built, for values of every type and out of range.

    Where the plain field breaks down, because its database cannot take the value, the twin finds no more than
    what else is in the list, or says what is wrong with it.
    """
    twins = {made_by: indexed[made_by] for made_by, (kind, _) in MADE_BY.items() if kind == name}
    for place, value in enumerate([*TYPES[name].values, None], 1):
        for model in twins.values():
            model.objects.create(exact=value, few=value, pk=place)
        PlainEverything.objects.create(**{name: value}, pk=place)
    for lookup, value in questions(name):
        plain = answer(PlainEverything, f"{name}__{lookup}", value)
        for made_by, column in product(twins, ("exact", "few")):
            asked = (made_by, column, lookup, value)
            twin = answer(twins[made_by], f"{column}__{lookup}", value)
            if twin is BROKE and name == "range":  # sealed as it is serialized, which is tried when it runs
                assert not isinstance(plain, list), asked
            elif isinstance(plain, list) or plain in TOLD_TO_USERS:
                assert twin == plain, asked
            else:
                assert isinstance(twin, list) or twin in (BROKE, *TOLD_TO_USERS), asked
