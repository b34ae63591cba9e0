"""Every shape of query answers as the plain twin does, or says that it cannot: on every database alike."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import DatabaseError, models, transaction
from django.db.models import Count, F, Max, OuterRef, Q, Subquery, Value, Window
from django.db.models.functions import Coalesce, RowNumber

from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from tests.app.shapes import VALUES, Kept, PlainShape, Shape, make_rows
from tests.fields.query_shapes import CASES, REFUSED, Ask, of_kind, own

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def rows(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The rows, and the data key of their cells, outside of any test's transaction: made once, only read."""
    with django_db_blocker.unblock():
        for model in (PlainShape, Shape):
            make_rows(model)
    yield
    with django_db_blocker.unblock():
        for model in (PlainShape, Shape, DataKeyRecord, IndexKeyRecord):
            model.objects.all().delete()


def answer(model: Any, ask: Ask, name: str) -> Any:
    """What the query gives, in a form that compares: an error's type, or plain values."""
    try:
        with transaction.atomic():
            found = ask(model.objects.all(), name)
            if isinstance(found, int | dict):
                return found
            ordered = getattr(found, "ordered", True) is True
            plain = [_plain(row, name) for row in found]
            return plain if ordered else sorted(plain, key=repr)
    except (FieldError, DatabaseError) as exc:
        return type(exc)


def _plain(row: Any, name: str) -> Any:
    if isinstance(row, models.Model):
        parent = row._state.fields_cache.get("parent")
        kept = {key: value for key, value in row.__dict__.items() if key in ("x", "y", "n")}
        return row.pk, _plain(getattr(row, name), name), kept, parent and _plain(parent, name)
    if isinstance(row, dict):
        return {key: _plain(value, name) for key, value in row.items()}
    if isinstance(row, tuple | list):
        return [_plain(value, name) for value in row]
    return bytes(row) if isinstance(row, memoryview) else row


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize(
    ("outcome", "ask"), [pytest.param(outcome, ask, id=title) for outcome, title, ask in CASES]
)
def test_the_answer_is_the_plain_twins_or_a_refusal(outcome: str, ask: Ask) -> None:
    """A query that only reads cells answers as over plain columns; one that computes is a FieldError."""
    for name in VALUES:
        ours = answer(Shape, ask, name)
        if outcome == REFUSED:
            assert ours is FieldError, name
        else:
            assert ours == answer(PlainShape, ask, name), name
            assert ours is not FieldError, name


@pytest.mark.parametrize(
    "ask", [pytest.param(ask, id=title) for outcome, title, ask in CASES if outcome == REFUSED]
)
def test_references_to_objects_are_not_computed_with(ask: Ask) -> None:
    """A column of references is no better than one of cells: sorted or compared, it would tell nothing."""
    Kept.objects.create(kind=0, token="a")
    assert answer(Kept, ask, "token") is FieldError


def test_references_are_read() -> None:
    """What reads references still does: values(), annotations, lookups by a reference, counts."""
    row = Kept.objects.create(kind=0, token="a")
    [reference] = Kept.objects.values_list("token", flat=True)
    rows = Kept.objects.filter(token=reference, token__in=[reference], token__isnull=False)
    assert rows.annotate(x=F("token"), y=own(rows, "token")).values_list("x", "y", "pk").distinct().get() == (
        reference,
        reference,
        row.pk,
    )
    assert rows.aggregate(n=Count("token")) == {"n": 1}
    assert rows.union(Kept.objects.all()).get().token == "a"
    for asked in (F("text"), rows.values("text")):
        with pytest.raises(FieldError):
            rows.filter(token__in=asked) if hasattr(asked, "filter") else rows.filter(token=asked)


EXPRESSIONS: dict[str, Any] = {
    "column": lambda rows, name: F(name),
    "parent": lambda rows, name: F(f"parent__{name}"),
    "child": lambda rows, name: F(f"children__{name}"),
    "case": lambda rows, name: of_kind(name),
    "coalesce": lambda rows, name: Coalesce(F(name), F(f"parent__{name}")),
    "subquery": own,
    "constant subquery": lambda rows, name: Subquery(rows.model.objects.filter(pk=1).values(name)[:1]),
    "counted": lambda rows, name: Count(name),
    "count over": lambda rows, name: Window(Count(name), partition_by="kind"),
    "constant": lambda rows, name: Value(1),
}
USES: dict[str, Any] = {
    "annotate": lambda rows, x: rows.annotate(x=x),
    "values": lambda rows, x: rows.values(x=x),
    "values and key": lambda rows, x: rows.values("pk", x=x),
    "alias": lambda rows, x: rows.alias(x=x).values("pk"),
    "annotated, masked": lambda rows, x: rows.annotate(x=x).values("kind"),
    "distinct": lambda rows, x: rows.annotate(x=x).distinct(),
    "distinct values": lambda rows, x: rows.values(x=x).distinct(),
    "distinct values and kind": lambda rows, x: rows.values("kind", x=x).distinct(),
    "distinct values and key": lambda rows, x: rows.values("pk", x=x).distinct(),
    "distinct parents": lambda rows, x: rows.values("parent", x=x).distinct(),
    "distinct, counted": lambda rows, x: rows.values(x=x).distinct().count(),
    "ordered": lambda rows, x: rows.annotate(x=x).order_by("x", "pk"),
    "ordered values": lambda rows, x: rows.values("pk", x=x).order_by("-x", "pk"),
    "ordered by it": lambda rows, x: rows.order_by(x, "pk").values("pk"),
    "ordered by key": lambda rows, x: rows.annotate(x=x).order_by("-pk"),
    "grouped": lambda rows, x: rows.values(x=x).annotate(n=Count("pk")),
    "grouped with key": lambda rows, x: rows.annotate(x=x, n=Count("children")),
    "grouped with key, selected later": lambda rows, x: rows.annotate(x=x, n=Count("pk")).values("x", "n"),
    "grouped with the parent": lambda rows, x: rows.values("parent", x=x).annotate(n=Count("pk")),
    "counted": lambda rows, x: rows.annotate(x=x).aggregate(n=Count("x")),
    "counted, distinct": lambda rows, x: rows.annotate(x=x).aggregate(n=Count("x", distinct=True)),
    "greatest": lambda rows, x: rows.annotate(x=x).aggregate(n=Max("x")),
    "sliced, counted": lambda rows, x: rows.annotate(x=x).order_by("pk")[:5].aggregate(n=Count("x")),
    "sliced, greatest": lambda rows, x: rows.annotate(x=x).order_by("pk")[:5].aggregate(n=Max("x")),
    "distinct, greatest": lambda rows, x: rows.annotate(x=x).distinct().aggregate(n=Max("x")),
    "count": lambda rows, x: rows.annotate(x=x).count(),
    "exists": lambda rows, x: rows.annotate(x=x).distinct().exists(),
    "is null": lambda rows, x: rows.annotate(x=x).filter(x__isnull=True).values("pk"),
    "equal": lambda rows, x: rows.annotate(x=x).filter(kind=F("x")).values("pk"),
    "among": lambda rows, x: rows.filter(kind__in=rows.model.objects.values(x=x)).values("pk"),
    "qualified": lambda rows, x: rows.annotate(
        x=x, n=Window(RowNumber(), partition_by="kind", order_by="pk")
    ).filter(n__lt=3),
    "qualified, or null": lambda rows, x: rows.annotate(
        x=x, n=Window(RowNumber(), partition_by="kind", order_by="pk")
    ).filter(Q(n__lt=2) | Q(x__isnull=True)),
    "inner": lambda rows, x: rows.values(
        "pk", y=Subquery(rows.model.objects.filter(pk=OuterRef("pk")).annotate(x=x).values("x")[:1])
    ),
    "inner, ordered": lambda rows, x: rows.values(
        "pk", y=Subquery(rows.model.objects.annotate(x=x).order_by("x", "pk").values("pk")[:1])
    ),
    "union": lambda rows, x: rows.values(x=x).union(rows.values(x=x)),
    "union all": lambda rows, x: rows.values(x=x).union(rows.values(x=x), all=True),
    "union with key": lambda rows, x: rows.values("pk", x=x).union(rows.filter(kind=1).values("pk", x=x)),
    "union of rows": lambda rows, x: rows.annotate(x=x).union(rows.filter(kind=1).annotate(x=x)),
    "difference": lambda rows, x: rows.values(x=x).difference(rows.filter(kind=1).values(x=x)),
    "intersection": lambda rows, x: rows.values(x=x).intersection(rows.filter(kind=1).values(x=x)),
}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("make", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_each_use_of_each_expression(make: Any, use: Any) -> None:
    """Whatever hands on cells, and wherever it is put: the plain twin's answer, or a FieldError."""
    for name in VALUES:

        def ask(rows: Any, name: str) -> Any:
            return use(rows, make(rows, name))

        ours = answer(Shape, ask, name)
        if ours is not FieldError:
            plain = answer(PlainShape, ask, name)
            assert ours == plain or (isinstance(plain, type) and issubclass(plain, DatabaseError)), name
