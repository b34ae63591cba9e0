"""What a model declares over an encrypted column and would fail late is a check error; what works is none."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Coalesce, Lower
from django.test.utils import isolate_apps

from django_workos_vault.checks.declarations import check_model
from django_workos_vault.fields import EncryptedCharField, EncryptedDateField, VaultObjectField
from django_workos_vault.indexes import BlindIndex, Exact

F, Q = models.F, models.Q

ENCRYPTED = {
    "encrypted": lambda **options: EncryptedCharField(max_length=20, null=True, **options),
    "in Vault": lambda **options: VaultObjectField(null=True, **options),
}


def declared(attributes: dict[str, Any], name: str = "Row", **meta: Any) -> type[models.Model]:
    return type(
        name,
        (models.Model,),
        {
            **attributes,
            "n": models.IntegerField(default=0),
            "Meta": type("Meta", (), {"app_label": "app", **meta}),
            "__module__": __name__,
            "__str__": lambda self: "row",
        },
    )


def ids(model: type[models.Model]) -> list[str]:
    found = [*check_model(model), *model.check()]
    return [
        str(message.id).removeprefix("django_workos_vault.")
        for message in found
        if "vault" in str(message.id)
    ]


ORDERINGS: dict[str, tuple[Any, bool]] = {
    "name": ("code", False),
    "descending": ("-code", False),
    "expression": (F("code"), False),
    "expression descending": (F("code").desc(nulls_last=True), False),
    "function": (Lower("code"), False),
    "function in function": (Coalesce(Lower("code"), models.Value("")).asc(), False),
    "case": (models.Case(models.When(code="x", then=1), default=2), False),
    "relation": ("other__code", False),
    "function over relation": (Lower("other__code"), False),
    "random": ("?", True),
    "plain": ("-n", True),
    "plain function": (Lower("other__n"), True),
    "whether it is null": (models.Case(models.When(code__isnull=True, then=1), default=2), True),
    "primary key": ("pk", True),
}


@pytest.mark.parametrize("kind", ENCRYPTED)
@pytest.mark.parametrize("name", ORDERINGS)
@isolate_apps("tests.app")
def test_ordering(name: str, kind: str) -> None:
    """Meta.ordering is followed through functions, expressions and relations."""
    ordering, works = ORDERINGS[name]
    declared_here = {"code": ENCRYPTED[kind](), "other": models.ForeignKey("self", models.CASCADE)}
    assert ids(declared(declared_here, ordering=[ordering])) == ([] if works else ["E006"])


@pytest.mark.parametrize("latest", ["code", "-code", ["n", "code"], ["n", "-code"], "other__code"])
@isolate_apps("tests.app")
def test_latest(latest: Any) -> None:
    """latest() and earliest() order as well."""
    fields = {"code": ENCRYPTED["encrypted"](), "other": models.ForeignKey("self", models.CASCADE)}
    assert ids(declared(fields, get_latest_by=latest)) == ["E077"]


@isolate_apps("tests.app")
def test_latest_by_a_plain_column() -> None:
    """A plain column is none of our business."""
    assert ids(declared({"code": ENCRYPTED["encrypted"]()}, get_latest_by=["-n", "pk"])) == []


CONDITIONS: dict[str, tuple[Any, bool]] = {
    "value": (Q(code="x"), False),
    "lookup": (Q(code__gt="x"), False),
    "not": (~Q(code__in=["x"]), False),
    "nested": (Q(n=1) | Q(Q(n=2) & Q(code="x")), False),
    "another column": (Q(n=F("code")), False),
    "function": (Q(n__gt=Lower("code")), False),
    "expression": (Q(models.lookups.Exact(F("code"), models.Value("x"))), False),
    "null": (Q(code__isnull=True), True),
    "null by value": (Q(code=None), True),
    "null as expression": (Q(models.lookups.IsNull(F("code"), False)), True),
    "plain": (Q(n__gt=1), True),
}


@pytest.mark.parametrize("where", ["check", "unique", "index"])
@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("kind", ENCRYPTED)
@isolate_apps("tests.app")
def test_conditions(name: str, where: str, kind: str) -> None:
    """The database cannot tell what is in a cell, only whether there is one."""
    condition, works = CONDITIONS[name]
    item: dict[str, Callable[[], Any]] = {
        "check": lambda: models.CheckConstraint(condition=condition, name="c"),
        "unique": lambda: models.UniqueConstraint(fields=["n"], condition=condition, name="c"),
        "index": lambda: models.Index(fields=["n"], condition=condition, name="c"),
    }
    option = "indexes" if where == "index" else "constraints"
    model = declared({"code": ENCRYPTED[kind]()}, **{option: [item[where]()]})
    assert ids(model) == ([] if works else ["E074"])


INDEXED: dict[str, tuple[Any, bool]] = {
    "fields": (lambda: models.Index(fields=["code"], name="i"), False),
    "descending": (lambda: models.Index(fields=["-code"], name="i"), False),
    "expression": (lambda: models.Index(F("code").desc(), name="i"), False),
    "name as expression": (lambda: models.Index("n", "code", name="i"), False),
    "function": (lambda: models.Index(Lower("code"), name="i"), False),
    "unique function": (lambda: models.UniqueConstraint(Lower("code"), name="i"), False),
    "blind": (lambda: models.Index(BlindIndex("code"), name="i"), True),
    "blind beside another": (lambda: models.UniqueConstraint("n", BlindIndex("code"), name="i"), True),
    "plain": (lambda: models.Index(fields=["n"], name="i"), True),
}


@pytest.mark.parametrize("name", INDEXED)
@isolate_apps("tests.app")
def test_indexes(name: str) -> None:
    """An index over ciphertext, however it is written, is refused; a blind index is not."""
    make, works = INDEXED[name]
    option = "constraints" if isinstance(make(), models.UniqueConstraint) else "indexes"
    field = EncryptedCharField(max_length=9, blind_indexes=[Exact()])
    found = ids(declared({"code": field}, **{option: [make()]}))
    assert ("E032" in found) is not works


@pytest.mark.parametrize("period", ["date", "month", "year"])
@pytest.mark.parametrize(
    ("field", "day", "works"),
    [
        (lambda **options: EncryptedCharField(max_length=9, **options), models.DateField, False),
        (lambda **options: models.CharField(max_length=9, **options), EncryptedDateField, False),
        (lambda **options: models.CharField(max_length=9, **options), models.DateField, True),
        (
            lambda **options: EncryptedCharField(max_length=9, blind_indexes=[Exact()], **options),
            models.DateField,
            True,
        ),
    ],
)
@isolate_apps("tests.app")
def test_unique_for_date(period: str, field: Any, day: Any, works: bool) -> None:
    """full_clean() would look the value up, and the parts of the date."""
    model = declared({"code": field(**{f"unique_for_{period}": "day"}), "day": day()})
    assert ("E072" in ids(model)) is not works


@pytest.mark.parametrize("kind", ENCRYPTED)
@isolate_apps("tests.app", "django.contrib.contenttypes")
def test_generic_foreign_key(kind: str) -> None:
    """Generic relations find their rows by the id."""
    fields = {
        "type": models.ForeignKey(ContentType, models.CASCADE),
        "code": ENCRYPTED[kind](),
        "thing": GenericForeignKey("type", "code"),
    }
    assert ids(declared(fields)) == ["E073"]
    fields = {"type": models.ForeignKey(ContentType, models.CASCADE), "code": ENCRYPTED[kind]()}
    assert ids(declared({**fields, "thing": GenericForeignKey("type", "n")}, "Other")) == []


@isolate_apps("tests.app")
def test_composite_primary_key() -> None:
    """An encrypted column is no part of a primary key."""
    fields = {"code": EncryptedCharField(max_length=9), "pk": models.CompositePrimaryKey("n", "code")}
    assert ids(declared(fields)) == ["E071"]
    fields = {"code": EncryptedCharField(max_length=9), "m": models.IntegerField()}
    assert ids(declared({**fields, "pk": models.CompositePrimaryKey("n", "m")}, "Other")) == []


@pytest.mark.parametrize(
    ("expression", "works"), [(Lower("code"), False), (F("code"), False), (F("n") + 1, True)]
)
@isolate_apps("tests.app")
def test_generated_field(expression: Any, works: bool) -> None:
    """A column computed by the database cannot compute with ciphertext."""
    generated = models.GeneratedField(
        expression=expression, output_field=models.CharField(max_length=9), db_persist=True
    )
    model = declared({"code": EncryptedCharField(max_length=9), "made": generated})
    assert ids(model) == ([] if works else ["E076"])
