"""Faults that system checks find, and what each becomes when its hint is followed."""

import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Lower

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.fields import (
    EncryptedBinaryField,
    EncryptedBooleanField,
    EncryptedCharField,
    EncryptedDateField,
    EncryptedIntegerField,
    VaultObjectField,
    encrypted,
)
from django_workos_vault.indexes import BlindIndex, CaseFolded, Compound, Exact, LastCharacters
from tests.companions.test_attributes import Hiding

Make = Callable[[], Any]


def text(**options: Any) -> Any:
    return EncryptedCharField(max_length=20, **options)


def ones_own(value: str) -> str:
    return value[:1]


class Case:
    """One fault: a model that has it, what its hint says, and the model after that was done.

    ``says`` are pieces of the hint. Code in it is taken from the hint, and not from here: ``{code}`` of
    ``repaired_meta`` is what follows ``Meta indexes =`` or ``Meta constraints =`` there.
    """

    def __init__(
        self,
        number: str,
        broken: dict[str, Make],
        repaired: dict[str, Make] | None = None,
        says: tuple[str, ...] = (),
        **meta: Any,
    ) -> None:
        self.number = number
        self.broken = broken
        self.repaired = broken if repaired is None else repaired
        self.says = says
        self.meta: dict[str, Make] = meta.get("meta", {})
        self.repaired_meta: dict[str, Make] = meta.get("repaired_meta", {})
        self.takes_code = meta.get("takes_code", False)
        self.admin: dict[str, Any] = meta.get("admin", {})
        self.repaired_admin: dict[str, Any] = meta.get("repaired_admin", {})
        self.bases = meta.get("bases", (admin.ModelAdmin,))


MASKED = (MaskedAdminMixin, admin.ModelAdmin)
CODE = {"code": text}
INDEXED = {"code": lambda: text(blind_indexes=[Exact()])}
INDEX = {"indexes": lambda: [models.Index(BlindIndex("code"), name="i")]}
UNIQUE = {"constraints": lambda: [models.UniqueConstraint(BlindIndex("code"), name="u")]}


def admin_case(number: str, says: str, **options: Any) -> Case:
    return Case(number, CODE, says=(says,), admin=options, bases=MASKED)


CASES = [
    Case("E001", {"code": lambda: text(primary_key=True)}, CODE, ("ordinary primary key",)),
    Case("E002", {"code": lambda: text(unique=True)}, INDEXED, ("blind_indexes=[Exact()]",), takes_code=True),
    Case(
        "E002",
        {"code": lambda: text(unique=True, blind_indexes=[CaseFolded()])},
        {"code": lambda: text(blind_indexes=[CaseFolded(), Exact()])},
        ("Append Exact()",),
        takes_code=True,
        meta={"indexes": lambda: [models.Index(BlindIndex("code"), name="i")]},
        repaired_meta={"indexes": lambda: [models.Index(BlindIndex("code"), name="i")]},
    ),
    Case(
        "E002",
        {"code": lambda: text(unique=True, blind_indexes=[CaseFolded(exact=True)])},
        {"code": lambda: text(blind_indexes=[CaseFolded(exact=True)])},
        takes_code=True,
    ),
    Case(
        "E002",
        {"code": lambda: EncryptedBooleanField(unique=True)},
        {"code": EncryptedBooleanField},
        ("Take it away",),
    ),
    Case(
        "E003", {"code": lambda: text(db_index=True)}, INDEXED, ("blind_indexes=[Exact()]",), takes_code=True
    ),
    Case(
        "E003",
        {"a_name_that_is_far_too_long_for_an_index": lambda: text(db_index=True)},
        {"a_name_that_is_far_too_long_for_an_index": lambda: text(blind_indexes=[Exact()])},
        takes_code=True,
    ),
    Case(
        "E003",
        {"code": lambda: text(db_index=True, choices=[("a", "a")])},
        {"code": lambda: text(choices=[("a", "a")])},
        ("Take it away",),
    ),
    Case(
        "E004", {"code": lambda: text(db_default="x")}, {"code": lambda: text(default="x")}, ("Use default",)
    ),
    Case("E005", {"code": lambda: text(key_context={})}, {"code": lambda: text(key_context={"a": "b"})}),
    Case("E006", CODE, says=("other columns",), meta={"ordering": lambda: [Lower("code")]}),
    Case("E007", {"code": lambda: text(mask="none")}, {"code": lambda: text(mask="last4")}, ("'last4'",)),
    Case(
        "E180",
        {"code": lambda: text(mask=lambda value: "")},
        {"code": lambda: text(mask=ones_own)},
        ("top of a module",),
    ),
    Case(
        "E008",
        {"code": lambda: text(bind_to=("pk",))},
        {
            "code": lambda: text(bind_to=("row_id",)),
            "row_id": lambda: models.UUIDField(default=uuid.uuid4, editable=False),
        },
        ("row_id = models.UUIDField(default=uuid.uuid4, editable=False)", 'bind_to=("row_id",)'),
    ),
    Case("E013", {"code": lambda: text(pad_to=-1)}, {"code": lambda: text(pad_to=16)}, ("such as 16",)),
    Case(
        "E013",
        {"code": lambda: EncryptedIntegerField(pad_to=16)},
        {"code": EncryptedIntegerField},
        ("Take pad_to away",),
    ),
    Case("E014", {"code": lambda: encrypted(Hiding(max_length=9))}, CODE, ("Encrypt the field",)),
    Case(
        "E030",
        {"code": lambda: text(blind_indexes=[LastCharacters(count=0)])},
        {"code": lambda: text(blind_indexes=[LastCharacters(count=1)])},
        meta=INDEX,
        repaired_meta=INDEX,
    ),
    Case(
        "E031",
        {"code": lambda: EncryptedBooleanField(blind_indexes=[Exact()]), "other": text},
        {
            "code": EncryptedBooleanField,
            "other": lambda: text(blind_indexes=[Compound(name="both", with_fields=("code",))]),
        },
        ("Compound index",),
        meta=INDEX,
        repaired_meta={"indexes": lambda: [models.Index(BlindIndex("other"), name="i")]},
    ),
    Case(
        "E032",
        CODE,
        INDEXED,
        ("blind_indexes=[Exact()]", 'BlindIndex("code") in the place of the field'),
        meta={"indexes": lambda: [models.Index(fields=["code"], name="i")]},
        repaired_meta=INDEX,
    ),
    Case(
        "E032",
        {"code": EncryptedBooleanField},
        says=("Take code out of i",),
        meta={"indexes": lambda: [models.Index("n", "code", name="i")]},
        repaired_meta={"indexes": lambda: [models.Index("n", name="i")]},
    ),
    Case(
        "E032",
        CODE,
        INDEXED,
        ("blind_indexes=[Exact()]", "in the place of unique_together"),
        meta={"unique_together": lambda: [("n", "code")]},
        takes_code=True,
    ),
    Case(
        "E032",
        {"code": text, "other": text},
        {"code": lambda: text(blind_indexes=[Exact()]), "other": lambda: text(blind_indexes=[Exact()])},
        ("in the place of unique_together",),
        meta={
            "unique_together": lambda: [("n", "code", "other")],
        },
        repaired_meta={"indexes": lambda: [models.Index(BlindIndex("other"), name="o")]},
        takes_code=True,
    ),
    Case("E033", CODE, INDEXED, ("blind_indexes=[Exact()]",), meta=INDEX, repaired_meta=INDEX),
    Case(
        "E034",
        {"code": lambda: text(blind_indexes=[Exact(bits=16)])},
        says=("models.Index in the place of u",),
        meta=UNIQUE,
        repaired_meta=INDEX,
    ),
    Case("W030", INDEXED, takes_code=True),
    Case(
        "W030",
        {"code": lambda: text(blind_indexes=[None, CaseFolded(version=2)])},
        takes_code=True,
    ),
    Case(
        "E060",
        {"code": lambda: EncryptedBinaryField(blind_indexes=[CaseFolded()])},
        {"code": lambda: EncryptedBinaryField(blind_indexes=[Exact()])},
        ("Use Exact()",),
        meta=INDEX,
        repaired_meta=INDEX,
    ),
    Case(
        "E050",
        {"code": lambda: VaultObjectField(mask="last4")},
        {"code": VaultObjectField},
        ("Take mask away",),
    ),
    Case(
        "E051",
        {"code": lambda: VaultObjectField(label="a/b")},
        {"code": lambda: VaultObjectField(label="a.b")},
        ("no slash",),
    ),
    Case(
        "W052",
        {"code": VaultObjectField, "history": models.IntegerField},
        {"code": VaultObjectField, "story": models.IntegerField},
        ("another name",),
    ),
    Case(
        "E071",
        {"code": text, "pk": lambda: models.CompositePrimaryKey("n", "code")},
        {"code": text, "m": models.IntegerField, "pk": lambda: models.CompositePrimaryKey("n", "m")},
        ("other columns",),
    ),
    Case(
        "E072",
        {"code": lambda: text(unique_for_date="day"), "day": models.DateField},
        {"code": text, "day": models.DateField},
        ("Take unique_for_date away",),
    ),
    Case(
        "E072",
        {"n": lambda: models.IntegerField(unique_for_year="day"), "day": EncryptedDateField},
        {"n": models.IntegerField, "day": EncryptedDateField},
        ("Take unique_for_year away",),
    ),
    Case(
        "E073",
        {
            "kind": lambda: models.ForeignKey(ContentType, models.CASCADE),
            "code": text,
            "thing": lambda: GenericForeignKey("kind", "code"),
        },
        {
            "kind": lambda: models.ForeignKey(ContentType, models.CASCADE),
            "code": lambda: models.CharField(max_length=20),
            "thing": lambda: GenericForeignKey("kind", "code"),
        },
        ("Make 'code' a plain field",),
    ),
    Case(
        "E074",
        CODE,
        says=("except for isnull",),
        meta={"constraints": lambda: [models.CheckConstraint(condition=models.Q(code="x"), name="c")]},
        repaired_meta={
            "constraints": lambda: [models.CheckConstraint(condition=models.Q(code__isnull=False), name="c")]
        },
    ),
    Case(
        "E076",
        {
            "code": text,
            "low": lambda: models.GeneratedField(
                expression=Lower("code"), output_field=models.CharField(max_length=20), db_persist=True
            ),
        },
        {"code": text, "low": lambda: property(lambda row: row.code.lower())},
        ("a property",),
    ),
    Case(
        "E077",
        CODE,
        says=("other columns",),
        meta={"get_latest_by": lambda: "code"},
        repaired_meta={"get_latest_by": lambda: "n"},
    ),
    Case(
        "W020", CODE, says=("MaskedAdminMixin in front",), bases=(admin.ModelAdmin,), admin={"fields": None}
    ),
    admin_case("E021", "no order", ordering=["code"]),
    admin_case("E022", "no groups", list_filter=["code"]),
    admin_case("E023", "no order", date_hierarchy="code"),
    admin_case("E024", "Take 'code' out", search_fields=["code"]),
    Case(
        "E024",
        CODE,
        INDEXED,
        ("blind_indexes=[Exact()]", "code__exact"),
        repaired_meta=INDEX,
        bases=MASKED,
        admin={"search_fields": ["=code"]},
        repaired_admin={"search_fields": ["code__exact"]},
    ),
    Case(
        "E024",
        INDEXED,
        says=("'code__exact'",),
        meta=INDEX,
        repaired_meta=INDEX,
        bases=MASKED,
        admin={"search_fields": ["code__contains"]},
        repaired_admin={"search_fields": ["code__exact"]},
    ),
    admin_case("E025", "one by one", list_editable=["code"]),
    admin_case("E026", "Leave save_as False", save_as=True),
    Case(
        "E100",
        CODE,
        says=("without a lookup",),
        bases=MASKED,
        admin={"encrypted_lookups": ["code__exact"]},
        repaired_admin={"encrypted_lookups": ["code"]},
    ),
    admin_case(
        "E101", "Take the ordering out", list_display=[admin.display(ordering="code")(lambda row: row.code)]
    ),
]
