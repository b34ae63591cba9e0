"""update() and bulk_update() through a plain manager: they work, or say what to write, and that works."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import models, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Concat, Upper
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.fields import EncryptedCharField, FromRow, stored_cell
from django_workos_vault.indexes import Compound, Exact
from tests.app.models import Organization, Patient
from tests.tables import tables

pytestmark = pytest.mark.django_db

CONTEXT = {"organization_id": FromRow("owner")}

#: What the cell depends on.
FIELDS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing": dict,
    "constants": lambda: {"key_context": {"app": "clinic"}},
    "an index": lambda: {"blind_indexes": [Exact()]},
    "a context": lambda: {"key_context": CONTEXT},
    "the row": lambda: {"bind_to": ("number",)},
    "a context and the row": lambda: {"key_context": CONTEXT, "bind_to": ("number", "owner")},
    "another value": lambda: {"blind_indexes": [Compound(name="both", with_fields=("other",))]},
}


def update(model: Any, **values: Any) -> None:
    with transaction.atomic():
        assert model.objects.filter(number=1).update(**values) == 1


def bulk_update(model: Any, *names: str, **values: Any) -> None:
    row = model.objects.get(number=1)
    for name, value in values.items():
        setattr(row, name, value)
    with transaction.atomic():
        assert model.objects.bulk_update([row], names) == 1


#: How it is written, and what is read afterwards.
WAYS: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "update": (lambda model: update(model, note="after"), "after"),
    "update to null": (lambda model: update(model, note=None), None),
    "update with others": (lambda model: update(model, note="after", plain="x"), "after"),
    "update of others": (lambda model: update(model, plain="x"), "before"),
    "update with a Value": (lambda model: update(model, note=Value("after")), "after"),
    "update with a Value of null": (lambda model: update(model, note=Value(None)), None),
    "update with F": (lambda model: update(model, note=F("plain")), "after"),
    "update with a function": (lambda model: update(model, note=Upper("plain")), "after"),
    "update with a concatenation": (lambda model: update(model, note=Concat("plain", Value("r"))), "after"),
    "update with a case": (
        lambda model: update(model, note=Case(When(plain="x", then=Value("after")), default=F("plain"))),
        "after",
    ),
    "bulk_update": (lambda model: bulk_update(model, "note", "other", note="after"), "after"),
    "bulk_update to null": (lambda model: bulk_update(model, "note", "other", note=None), None),
    "bulk_update of what nobody touched": (lambda model: bulk_update(model, "note", "other"), "before"),
    "bulk_update of others": (lambda model: bulk_update(model, "plain", plain="x"), "before"),
    "bulk_update with the owner": (
        lambda model: bulk_update(model, "note", "other", "owner", note="after", owner="org_2"),
        "after",
    ),
    "bulk_update of a row that moves": (
        lambda model: bulk_update(model, "note", "other", "owner", owner="org_2"),
        "before",
    ),
    "bulk_update with F": (lambda model: bulk_update(model, "note", "other", note=F("plain")), "after"),
    "update_or_create": (
        lambda model: model.objects.update_or_create(number=1, defaults={"note": "after"}),
        "after",
    ),
    "get_or_create": (
        lambda model: model.objects.get_or_create(number=1, defaults={"note": "after"}),
        "before",
    ),
}

#: What the database would have to compute.
EXPRESSIONS = {
    "update with a Value",
    "update with F",
    "update with a function",
    "update with a concatenation",
    "update with a case",
    "bulk_update with F",
}

#: Where no row is at hand, and one is needed by fields that depend on theirs.
ROWLESS = {"update", "update with others"}
DEPENDENT = {"a context", "the row", "a context and the row", "another value"}


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, Any]]:
    """The models, with a manager each of Django's own."""
    found: dict[str, Any] = {}
    for name, options in FIELDS.items():
        with isolate_apps("tests.app"):

            class Chart(models.Model):
                owner = models.CharField(max_length=10, default="org_1")
                number = models.IntegerField()
                plain = models.CharField(max_length=20, default="before")
                note = EncryptedCharField(max_length=20, null=True, **options())
                other = EncryptedCharField(max_length=20, default="other")

                class Meta:
                    app_label = "app"
                    db_table = f"chart_{len(found)}"

            found[name] = Chart
    with django_db_blocker.unblock(), tables(*found.values()):
        yield found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("depends_on", FIELDS)
def test_it_works_or_says_what_to_write(made: Any, depends_on: str, way: str) -> None:
    """The message has the line, import and all; or that rows must be loaded and saved."""
    model = made[depends_on]
    for number in (1, 2):
        model.objects.create(number=number, note="before")
    write, expected = WAYS[way]
    refused = ""
    try:
        write(model)
    except FieldError as exc:
        refused = str(exc)
        assert "after" not in refused
    assert bool(refused) == (way in EXPRESSIONS or (way in ROWLESS and depends_on in DEPENDENT))
    if way in EXPRESSIONS:
        assert refused.endswith("Load the rows, assign values and save.")
        for row in model.objects.filter(number=1):
            row.note = "after"
            row.save()
    elif refused:
        line, imported = re.search(r"give the model (.+?), with: (from .+)$", refused).groups()  # type: ignore[union-attr]
        namespace: dict[str, Any] = {}
        exec(f"{imported}\n{line}", namespace)
        manager = namespace["objects"]
        manager.model = model
        write(type("WithTheLine", (), {"objects": manager}))
    assert [row.note for row in model.objects.order_by("number")] == [expected, "before"]
    first = model.objects.get(number=1)
    if "moves" in way or "owner" in way:
        assert first.owner == "org_2"
    if first.note is not None and model._meta.get_field("note").digests.slots:
        found = (
            {"note__both": [first.note, first.other]}
            if depends_on == "another value"
            else {"note": first.note}
        )
        assert first in model.objects.filter(**found)


@pytest.fixture
def patient() -> Patient:
    organization = Organization.objects.create(name="o", workos_id="org_1")
    return Patient.objects.create(organization=organization, ssn="123-45-6789")


@pytest.mark.parametrize("loaded", [True, False])
def test_a_cell_of_the_same_row_needs_no_work(patient: Patient, loaded: bool) -> None:
    """bulk_update() of rows whose values nobody touched writes the same bytes, or just sealed ones."""
    row = Patient.objects.get() if loaded else patient
    before = stored_cell(row, "ssn")
    assert Patient.objects.bulk_update([row], ["ssn"]) == 1
    assert stored_cell(Patient.objects.get(), "ssn") == before


def test_other_columns_need_none(patient: Patient) -> None:
    """An update that leaves the encrypted column alone is Django's own."""
    other = Organization.objects.create(name="p", workos_id="org_1")
    assert Patient.objects.update(organization=other) == 1
    assert Patient.objects.get().ssn == "123-45-6789"


def test_many_rows_have_each_their_own_key(patient: Patient) -> None:
    """bulk_update() seals a value for its row, moved or not."""
    other = Organization.objects.create(name="p", workos_id="org_2")
    rows = [patient, Patient.objects.create(organization=other, ssn="1"), Patient(pk=10**6, ssn="none such")]
    for row in rows:
        row.ssn, row.organization = "987-65-4321", other
    assert Patient.objects.bulk_update(rows, ["ssn", "organization"]) == 2
    backend: Any = vaults["default"].backend
    backend.revoke("organization_id", "org_1")
    vaults["default"].keyring.forget()
    assert [row.ssn for row in Patient.objects.filter(organization=other)] == ["987-65-4321"] * 2
