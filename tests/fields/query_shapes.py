"""Shapes of queries over one column, by what becomes of them when the column is encrypted."""

from collections.abc import Callable
from typing import Any

from django.db import models
from django.db.models import (
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
    Window,
)
from django.db.models.functions import (
    Cast,
    Coalesce,
    Concat,
    FirstValue,
    Greatest,
    JSONObject,
    Lag,
    Length,
    NullIf,
    Random,
    Rank,
    RowNumber,
    Upper,
)
from django.db.models.lookups import Exact, IsNull

from tests.app.shapes import VALUES

Ask = Callable[[Any, str], Any]
RIGHT, REFUSED = "right", "refused"


def own(rows: Any, name: str) -> Any:
    """The value of the row with the same key, as a subquery."""
    return Subquery(rows.model.objects.filter(pk=OuterRef("pk")).values(name)[:1])


def sample(name: str) -> Any:
    return VALUES.get(name, ["b"])[0]


def column(rows: Any, name: str, **where: Any) -> Any:
    return rows.filter(**where).values_list(name)


def of_kind(name: str) -> Case:
    return Case(When(kind=0, then=F(name)))


READING: dict[str, Ask] = {
    "rows": lambda rows, name: rows,
    "values": lambda rows, name: rows.values("pk", name),
    "values list, flat": lambda rows, name: rows.order_by("pk").values_list(name, flat=True),
    "annotation": lambda rows, name: rows.annotate(x=F(name)).values("pk", "x"),
    "through a relation": lambda rows, name: rows.values("pk", f"parent__{name}"),
    "select_related": lambda rows, name: rows.select_related("parent"),
    "only": lambda rows, name: rows.only(name),
    "coalesce of itself": lambda rows, name: rows.values("pk", x=Coalesce(name, name)),
    "coalesce with NULL": lambda rows, name: rows.values("pk", x=Coalesce(F(name), Value(None))),
    "coalesce with a constant of the field": lambda rows, name: rows.values(
        "pk", x=Coalesce(F(name), Value(sample(name), rows.model._meta.get_field(name)))
    ),
    "coalesce with the parent's": lambda rows, name: rows.values("pk", x=Coalesce(name, f"parent__{name}")),
    "case": lambda rows, name: rows.values("pk", x=of_kind(name)),
    "case of NULL or not": lambda rows, name: rows.values(
        "pk", x=Case(When(**{f"{name}__isnull": True}, then=Value(1)), default=Value(2))
    ),
    "subquery": lambda rows, name: rows.annotate(x=own(rows, name)).values("pk", "x"),
    "coalesce of a subquery": lambda rows, name: rows.values("pk", x=Coalesce(F(name), own(rows, name))),
    "exists": lambda rows, name: rows.filter(Exists(rows.filter(parent=OuterRef("pk")).values(name))),
    "is null": lambda rows, name: rows.filter(**{f"{name}__isnull": True}),
    "is null, as an expression": lambda rows, name: rows.values("pk", x=IsNull(F(name), True)),
    "ordered by NULL or not": lambda rows, name: rows.order_by(IsNull(F(name), True), "pk"),
    "slice": lambda rows, name: rows.order_by("pk")[2:5],
    "first": lambda rows, name: [rows.order_by("pk").first()],
    "in_bulk": lambda rows, name: sorted(rows.in_bulk([1, 2]).values(), key=lambda row: row.pk),
    "ordered by another annotation": lambda rows, name: rows.annotate(x=F(name), y=F("pk")).order_by("-y"),
    "nested union": lambda rows, name: rows.filter(pk=1).union(rows.filter(pk=2).union(rows.filter(pk=3))),
    "filtered relation": lambda rows, name: rows.annotate(
        child=FilteredRelation("children", condition=Q(**{f"children__{name}__isnull": False}))
    ).values("pk", "child__pk"),
    "row number": lambda rows, name: (
        rows.annotate(n=Window(RowNumber(), partition_by="kind", order_by="pk"))
        .filter(n=2)
        .values("pk", name)
    ),
    "row number, rows": lambda rows, name: rows.annotate(
        n=Window(RowNumber(), partition_by="kind", order_by="pk")
    ).filter(n__lt=3),
}
COUNTING: dict[str, Ask] = {
    "count": lambda rows, name: rows.count(),
    "exists": lambda rows, name: rows.values(name).distinct().exists(),
    "count of the column": lambda rows, name: rows.aggregate(n=Count(name)),
    "count of some": lambda rows, name: rows.aggregate(n=Count(name, filter=Q(kind=1))),
    "count of a slice": lambda rows, name: rows.order_by("pk")[:5].aggregate(n=Count(name)),
    "count of distinct rows": lambda rows, name: rows.distinct().aggregate(n=Count(name)),
    "count of a case": lambda rows, name: rows.aggregate(n=Count(of_kind(name))),
    "count by kind": lambda rows, name: rows.values("kind").annotate(n=Count(name)),
    "children of rows": lambda rows, name: rows.annotate(n=Count("children")),
    "children, and the column": lambda rows, name: rows.annotate(n=Count("children")).values("pk", name, "n"),
    "children, and then the column": lambda rows, name: rows.annotate(n=Count("children")).values(name, "n"),
    "children, and a subquery": lambda rows, name: rows.annotate(
        x=own(rows, name), n=Count("children")
    ).values("pk", "x", "n"),
    "children, and the parent's": lambda rows, name: rows.annotate(n=Count("children")).values(
        "pk", f"parent__{name}", "n"
    ),
    "over a window": lambda rows, name: rows.values("pk", n=Window(Count(name), partition_by="kind")),
    "of a case by NULL": lambda rows, name: rows.aggregate(
        n=Max(Case(When(**{f"{name}__isnull": True}, then=F("pk"))))
    ),
}
DISTINCT: dict[str, Ask] = {
    "distinct rows": lambda rows, name: rows.distinct(),
    "distinct with the key": lambda rows, name: rows.values("pk", name).distinct(),
    "distinct with the parent's": lambda rows, name: rows.values("pk", f"parent__{name}").distinct(),
    "distinct rows through children": lambda rows, name: rows.filter(children__pk__gt=0).distinct(),
    "distinct of an uncorrelated subquery": lambda rows, name: rows.values(
        "kind", x=Subquery(rows.model.objects.filter(pk=1).values(name))
    ).distinct(),
    "distinct rows with a subquery": lambda rows, name: (
        rows.annotate(x=own(rows, name)).values("pk", "x").distinct()
    ),
}
COMBINED: dict[str, Ask] = {
    "all": lambda rows, name: column(rows, name, kind=0).union(column(rows, name, kind=1), all=True),
    "all, of cases": lambda rows, name: rows.values("pk", x=of_kind(name)).union(
        rows.values("pk", x=F(name)), all=True
    ),
    "rows": lambda rows, name: rows.filter(pk__lt=4).union(rows.filter(pk__gt=2)),
    "with the key": lambda rows, name: (
        rows.filter(pk__lt=4).values_list("pk", name).union(rows.filter(pk__gt=2).values_list("pk", name))
    ),
    "with the parent's": lambda rows, name: rows.values_list("pk", f"parent__{name}").union(
        rows.filter(kind=1).values_list("pk", f"parent__{name}")
    ),
    "rows, values after": lambda rows, name: (
        rows.filter(pk__lt=4).union(rows.filter(pk__gt=2)).values("pk", name)
    ),
    "rows, ordered": lambda rows, name: rows.filter(pk__lt=4).union(rows.filter(pk__gt=2)).order_by("-pk"),
    "intersection of rows": lambda rows, name: rows.filter(pk__lt=4).intersection(rows.filter(pk__gt=2)),
    "difference of rows": lambda rows, name: rows.filter(pk__lt=4).difference(rows.filter(pk__gt=2)),
    "count of a union": lambda rows, name: rows.filter(pk__lt=4).union(rows.filter(pk__gt=2)).count(),
    "in a filter": lambda rows, name: rows.filter(
        pk__in=rows.filter(**{f"{name}__isnull": False}).values("pk")
    ),
}
ORDERED: dict[str, Ask] = {
    "by the column": lambda rows, name: rows.order_by(name),
    "backwards": lambda rows, name: rows.order_by(f"-{name}"),
    "reversed": lambda rows, name: rows.order_by(name).reverse(),
    "by an expression": lambda rows, name: rows.order_by(F(name).asc()),
    "nulls last": lambda rows, name: rows.order_by(F(name).desc(nulls_last=True)),
    "selected": lambda rows, name: rows.values_list("id", name).order_by(name),
    "selected, nulls first": lambda rows, name: rows.values_list("id", name).order_by(
        F(name).asc(nulls_first=True)
    ),
    "selected by another name": lambda rows, name: rows.values("id", x=F(name)).order_by("x"),
    "by an annotation": lambda rows, name: rows.annotate(x=F(name)).order_by("x"),
    "by an alias": lambda rows, name: rows.alias(x=F(name)).order_by("-x"),
    "by a case": lambda rows, name: rows.annotate(x=of_kind(name)).order_by("x"),
    "by a case, not selected": lambda rows, name: rows.order_by(of_kind(name)),
    "by coalesce": lambda rows, name: rows.annotate(x=Coalesce(name, name)).order_by("-x", "pk"),
    "by a subquery": lambda rows, name: rows.order_by(own(rows, name)),
    "by a subquery, selected": lambda rows, name: rows.annotate(x=own(rows, name)).order_by("x"),
    "through a relation": lambda rows, name: rows.order_by(f"parent__{name}"),
    "through a relation, selected": lambda rows, name: rows.values("pk", f"parent__{name}").order_by(
        f"parent__{name}"
    ),
    "by F through a relation": lambda rows, name: rows.order_by(F(f"parent__{name}").desc()),
    "after a random one": lambda rows, name: rows.order_by(Random(), name),
    "after another": lambda rows, name: rows.values_list("kind", name).order_by("kind", name),
    "a slice": lambda rows, name: rows.order_by(name)[:3],
    "count of a slice": lambda rows, name: rows.values("pk", name).order_by(name)[:3].count(),
    "latest": lambda rows, name: [rows.latest(name)],
    "first": lambda rows, name: [rows.order_by(name).first()],
    "a union": lambda rows, name: (
        column(rows, name, kind=0).union(column(rows, name, kind=1), all=True).order_by(name)
    ),
    "a union of rows": lambda rows, name: rows.filter(kind=0).union(rows.filter(kind=1)).order_by(name),
    "a union by another name": lambda rows, name: (
        rows.filter(kind=0)
        .values(x=F(name))
        .union(rows.filter(kind=1).values(x=F(name)), all=True)
        .order_by("-x")
    ),
    "inside a subquery": lambda rows, name: rows.values(
        "pk", x=Subquery(rows.model.objects.order_by(name).values("pk")[:1])
    ),
    "inside a subquery, selected": lambda rows, name: rows.values(
        "pk", x=Subquery(rows.model.objects.order_by(name).values(name)[:1])
    ),
    "inside a filter": lambda rows, name: rows.filter(
        pk=Subquery(rows.model.objects.order_by(name).values("pk")[:1])
    ),
    "grouped": lambda rows, name: rows.annotate(n=Count("children")).values("pk", name, "n").order_by(name),
    "a window": lambda rows, name: rows.values("pk", n=Window(Rank(), order_by=name)),
    "a window, backwards": lambda rows, name: rows.values("pk", n=Window(Rank(), order_by=F(name).desc())),
    "a window that filters": lambda rows, name: rows.annotate(
        n=Window(RowNumber(), partition_by="kind", order_by=name)
    ).filter(n=1),
    "by the length": lambda rows, name: rows.order_by(Length(name)),
    "extra": lambda rows, name: rows.extra(order_by=[name]),
}
COMPARED: dict[str, Ask] = {
    "distinct": lambda rows, name: rows.values(name).distinct(),
    "distinct, counted": lambda rows, name: rows.values(name).distinct().count(),
    "distinct of an annotation": lambda rows, name: rows.values(x=F(name)).distinct(),
    "distinct with the kind": lambda rows, name: rows.values_list("kind", name).distinct(),
    "distinct case": lambda rows, name: rows.values(x=of_kind(name)).distinct(),
    "distinct subquery": lambda rows, name: rows.values(x=own(rows, name)).distinct(),
    "distinct parent's": lambda rows, name: rows.values(f"parent__{name}").distinct(),
    "distinct children's": lambda rows, name: rows.values("pk", f"children__{name}").distinct(),
    "distinct rows with children's": lambda rows, name: rows.annotate(x=F(f"children__{name}")).distinct(),
    "distinct on": lambda rows, name: rows.order_by(name).distinct(name),
    "distinct on an annotation": lambda rows, name: (
        rows.annotate(x=F(name)).order_by("x").distinct("x").values("x")
    ),
    "count of distinct": lambda rows, name: rows.aggregate(n=Count(name, distinct=True)),
    "count of distinct over distinct": lambda rows, name: rows.distinct().aggregate(
        n=Count(name, distinct=True)
    ),
    "count over distinct": lambda rows, name: rows.values(name).distinct().aggregate(n=Count(name)),
    "count of distinct by kind": lambda rows, name: rows.values("kind").annotate(
        n=Count(name, distinct=True)
    ),
    "groups": lambda rows, name: rows.values(name).annotate(n=Count("pk")),
    "groups by an annotation": lambda rows, name: rows.values(x=F(name)).annotate(n=Count("pk")),
    "groups by a case": lambda rows, name: rows.values(x=of_kind(name)).annotate(n=Count("pk")),
    "groups by a subquery": lambda rows, name: rows.values(x=own(rows, name)).annotate(n=Count("pk")),
    "groups by the parent's": lambda rows, name: rows.values(f"parent__{name}").annotate(n=Count("pk")),
    "groups, summed up": lambda rows, name: (
        rows.values(name).annotate(n=Count("pk")).aggregate(most=Max("n"))
    ),
    "groups with the children's": lambda rows, name: rows.values("pk", f"children__{name}").annotate(
        n=Count("children__children")
    ),
    "union": lambda rows, name: column(rows, name, kind=0).union(column(rows, name, kind=1)),
    "union by another name": lambda rows, name: (
        rows.filter(kind=0).values(x=F(name)).union(rows.filter(kind=1).values(x=F(name)))
    ),
    "union of cases": lambda rows, name: rows.values(x=of_kind(name)).union(rows.values(x=of_kind(name))),
    "union with the key elsewhere": lambda rows, name: (
        rows.filter(kind=0).values_list("pk", name).union(rows.filter(kind=1).values_list("parent_id", name))
    ),
    "union with the parent's and what refers to it": lambda rows, name: (
        rows.filter(kind=0)
        .values_list("pk", name)
        .union(rows.filter(kind=1).values_list("parent__pk", f"parent__{name}"))
    ),
    "union with another row's": lambda rows, name: rows.annotate(x=F(name)).union(
        rows.annotate(x=F(f"parent__{name}"))
    ),
    "union with another row's values": lambda rows, name: rows.values("pk", x=F(name)).union(
        rows.values("pk", x=F(f"parent__{name}"))
    ),
    "union with a constant of the field": lambda rows, name: rows.values(
        "pk", x=Coalesce(F(name), Value(sample(name), rows.model._meta.get_field(name)))
    ).union(
        rows.filter(kind=1).values(
            "pk", x=Coalesce(F(name), Value(sample(name), rows.model._meta.get_field(name)))
        )
    ),
    "union of rows, values after": lambda rows, name: (
        rows.filter(kind=0).union(rows.filter(kind=1)).values(name)
    ),
    "union, counted": lambda rows, name: column(rows, name, kind=0).union(column(rows, name, kind=1)).count(),
    "intersection": lambda rows, name: column(rows, name, kind=0).intersection(column(rows, name, kind=1)),
    "difference": lambda rows, name: column(rows, name, kind=0).difference(column(rows, name, kind=1)),
}
COMPUTED: dict[str, Ask] = {
    "greatest": lambda rows, name: rows.aggregate(x=Max(name)),
    "least by kind": lambda rows, name: rows.values("kind").annotate(x=Min(name)),
    "greatest of distinct rows": lambda rows, name: rows.distinct().aggregate(x=Max(name)),
    "greatest of distinct": lambda rows, name: rows.values(name).distinct().aggregate(x=Max(name)),
    "greatest of a slice": lambda rows, name: rows.order_by("pk")[:5].aggregate(x=Max(name)),
    "greatest of an annotation": lambda rows, name: rows.annotate(x=F(name)).aggregate(y=Max("x")),
    "greatest of a sliced annotation": lambda rows, name: (
        rows.annotate(x=F(name)).order_by("pk")[:5].aggregate(y=Max("x"))
    ),
    "greatest of a case": lambda rows, name: rows.aggregate(x=Max(of_kind(name))),
    "greatest of a sliced case": lambda rows, name: (
        rows.annotate(x=of_kind(name)).order_by("pk")[:5].aggregate(y=Max("x"))
    ),
    "greatest of a subquery": lambda rows, name: rows.annotate(x=own(rows, name)).aggregate(y=Max("x")),
    "greatest of a union": lambda rows, name: (
        rows.filter(kind=0).union(rows.filter(kind=1)).aggregate(x=Max(name))
    ),
    "greatest of two": lambda rows, name: rows.values("pk", x=Greatest(name, f"parent__{name}")),
    "null if": lambda rows, name: rows.values("pk", x=NullIf(name, f"parent__{name}")),
    "first in a window": lambda rows, name: rows.values("pk", x=Window(FirstValue(name), order_by="pk")),
    "previous in a window": lambda rows, name: rows.values("pk", x=Window(Lag(name), order_by="pk")),
    "a window's partition": lambda rows, name: rows.values(
        "pk", n=Window(RowNumber(), partition_by=F(name), order_by="pk")
    ),
    "upper": lambda rows, name: rows.annotate(x=Upper(name)),
    "upper subquery": lambda rows, name: rows.annotate(x=Upper(own(rows, name))),
    "upper case": lambda rows, name: rows.annotate(x=Upper(of_kind(name))),
    "cast": lambda rows, name: rows.values("pk", x=Cast(name, models.TextField())),
    "cast, ordered": lambda rows, name: rows.values("pk", x=Cast(name, models.TextField())).order_by("x"),
    "concat": lambda rows, name: rows.values("pk", x=Concat(Cast(name, models.TextField()), Value("-"))),
    "wrapped": lambda rows, name: rows.values(
        "pk", x=ExpressionWrapper(F(name), output_field=models.BinaryField())
    ),
    "a case of another type": lambda rows, name: rows.values(
        "pk", x=Case(When(kind=0, then=F(name)), output_field=models.BinaryField())
    ),
    "coalesce with a constant": lambda rows, name: rows.values("pk", x=Coalesce(F(name), Value("none"))),
    "case with a constant": lambda rows, name: rows.values(
        "pk",
        x=Case(
            When(kind=0, then=F(name)), default=Value("none"), output_field=rows.model._meta.get_field(name)
        ),
    ),
    "coalesce of two columns": lambda rows, name: rows.values(
        "pk", x=Coalesce(name, "login" if name != "login" else "text")
    ),
    "case of two columns": lambda rows, name: rows.values(
        "pk",
        x=Case(
            When(kind=0, then=F(name)),
            default=F("login" if name != "login" else "text"),
            output_field=rows.model._meta.get_field(name),
        ),
    ),
    "json object": lambda rows, name: rows.values("pk", x=JSONObject(x=name)),
    "compared with another column": lambda rows, name: rows.filter(kind=F(name)),
    "in a list": lambda rows, name: rows.filter(kind__in=[1, F(name)]),
    "in a subquery": lambda rows, name: rows.filter(kind__in=rows.model.objects.values(name)),
    "in a subquery of cases": lambda rows, name: rows.filter(
        kind__in=rows.model.objects.values(x=of_kind(name))
    ),
    "equal to a subquery": lambda rows, name: rows.filter(kind=own(rows, name)),
    "equal as an expression": lambda rows, name: rows.values("pk", x=Exact(F(name), F(name))),
    "equal in a condition": lambda rows, name: rows.values(
        "pk", x=Case(When(kind=F(name), then=Value(1)), default=Value(2))
    ),
    "equal in a join": lambda rows, name: rows.annotate(
        child=FilteredRelation("children", condition=Q(children__kind=F(name)))
    ).values("pk", "child__pk"),
    "less than": lambda rows, name: rows.filter(**{f"{name}__lt": sample(name)}),
    "union with a plain column": lambda rows, name: rows.values_list(name).union(
        rows.values_list("kind"), all=True
    ),
    "union after a plain column": lambda rows, name: rows.values_list("kind").union(
        rows.values_list(name), all=True
    ),
    "union with another column": lambda rows, name: rows.values_list(name).union(
        rows.values_list("login" if name != "login" else "text"), all=True
    ),
    "update of a plain column": lambda rows, name: rows.update(kind=F(name)),
    "update by a subquery": lambda rows, name: rows.update(
        kind=Subquery(rows.model.objects.filter(pk=1).values(name)[:1])
    ),
}
CASES = [
    (outcome, f"{theme}: {title}", ask)
    for outcome, theme, shapes in (
        (RIGHT, "reading", READING),
        (RIGHT, "counting", COUNTING),
        (RIGHT, "distinct", DISTINCT),
        (RIGHT, "combined", COMBINED),
        (REFUSED, "ordered", ORDERED),
        (REFUSED, "compared", COMPARED),
        (REFUSED, "computed", COMPUTED),
    )
    for title, ask in shapes.items()
]
