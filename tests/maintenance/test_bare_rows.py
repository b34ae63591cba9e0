"""A run reads no model instances where cells and the columns that choose their keys are enough."""

from typing import Any

import pytest
from django.db import connection, models
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance import bare_rows, cells
from django_workos_vault.maintenance.cells import encrypted_fields
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.engine.work import Worker
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Account, Device, Organization, Patient, Person
from tests.maintenance.noting import MODELS, notes
from tests.maintenance.reencrypting import key_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def organizations() -> list[Organization]:
    return [Organization.objects.create(name=name, workos_id=name) for name in ("org_1", "org_2")]


def instances_made(model: Any, work: Any) -> int:
    """Return how many instances of ``model`` were made during ``work``."""
    made: list[Any] = []

    def note(instance: Any, **_: Any) -> None:
        made.append(instance)

    post_init.connect(note, sender=model)
    try:
        work()
    finally:
        post_init.disconnect(note, sender=model)
    return len(made)


@pytest.mark.parametrize("operation", ["reseal", "rekey"])
def test_one_instance_for_each_key_context(operation: str, organizations: list[Organization]) -> None:
    """Rows of two organizations need two instances, one query for both, and one to look at a new cell."""
    rows = [
        Patient.objects.create(organization=organizations[n % 2], ssn=f"123-45-{n:04}") for n in range(30)
    ]
    Patient.objects.create(organization=organizations[0])
    before = {key_of(row) for row in rows}
    worker = Worker(runs.begin(encrypted_fields(Patient), operation, using="default"))
    with CaptureQueriesContext(connection) as queries:
        assert instances_made(Patient, worker.work) == 3
    asked = [q["sql"] for q in queries if "app_organization" in q["sql"]]
    assert len([sql for sql in asked if sql.startswith("SELECT")]) == 2  # for the batch, and for the new cell
    counts = runs.progress(worker.run).counts["app.Patient.ssn"]
    assert (counts.renewed, counts.null, counts.left) == (30, 1, 0)
    for row in rows:
        row.refresh_from_db()
        assert row.ssn.startswith("123-45-")
        context = DataKeyRecord.objects.get(commitment=key_of(row).hex()).key_context
        assert context == {"organization_id": row.organization.workos_id}
    assert ({key_of(row) for row in rows} == before) is (operation == "rekey")


@pytest.mark.parametrize(
    ("field", "enough"),
    [
        (Person._meta.get_field("ssn"), True),
        (Patient._meta.get_field("ssn"), True),
        (Account._meta.get_field("email"), True),
        (Device._meta.get_field("pin"), False),
    ],
    ids=str,
)
def test_what_needs_whole_rows(field: EncryptedField, enough: bool) -> None:
    """Cells that are bound to their rows do."""
    assert bare_rows.suffice([field]) is enough


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_keys_and_cells_are_those_of_instances(model: Any) -> None:
    """Whatever the key's type, a bare row holds what an instance does, and leads to its key context."""
    notes(model, 5)
    fields = encrypted_fields(model)
    rows = bare_rows.read(fields, cells.rows(fields, "default").order_by("pk"))
    instances = list(model.objects.order_by("pk"))
    assert [row.pk for row in rows] == [instance.pk for instance in instances]
    bare_rows.as_instances(rows)
    for field in fields:
        held = [instance.__dict__[field.attname] for instance in instances]
        assert bare_rows.cells_of(field, rows) == [each and each.cell for each in held]
        assert [row.__dict__[field.attname] is None for row in rows] == [each is None for each in held]
        contexts = bare_rows.key_contexts(field, rows)
        assert contexts == [field.context_for(instance) for instance in instances]


@isolate_apps("tests.app")
def test_the_key_of_a_relation_chooses(organizations: list[Organization]) -> None:
    """There is nothing to be fetched ahead: the column holds what the context is made of."""

    class Sheet(models.Model):
        organization = models.ForeignKey(Organization, models.CASCADE)
        ssn = EncryptedCharField(
            max_length=11, null=True, key_context={"organization": FromRow("organization_id")}
        )

        class Meta:
            app_label = "app"
            db_table = Patient._meta.db_table

    for each in organizations:
        Sheet.objects.create(organization=each, ssn="123-45-6789")
    [field] = encrypted_fields(Sheet)
    rows = cells.rows([field], "default").order_by("pk")
    assert [row.ssn for row in rows] == ["123-45-6789"] * 2  # type: ignore[attr-defined]
    expected = [{"organization": str(each.pk)} for each in organizations]
    found = bare_rows.key_contexts(field, bare_rows.read([field], rows))
    assert [context and context.items for context in found] == expected


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others have one format")
def test_the_rows_alone_come_in_binary() -> None:
    """PostgreSQL is asked for the cells' bytes, and for text as ever by whoever asks something meanwhile."""
    notes(MODELS[0], 5)
    formats: list[tuple[str, int]] = []

    def others(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not formats:
            formats.append(("", 0))
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
                formats.append((sql, cursor.cursor.format))
        answer = execute(sql, params, many, context)
        formats.append((sql, context["cursor"].cursor.format))
        return answer

    fields = encrypted_fields(MODELS[0])
    with connection.execute_wrapper(others):
        rows = bare_rows.read(fields, cells.rows(fields, "default").order_by("pk"))
    assert (len(rows), [form for _, form in formats]) == (5, [0, 0, 0, 1])
