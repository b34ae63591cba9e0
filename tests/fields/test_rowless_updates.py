"""update() and bulk_update() through a plain manager, of fields whose cells depend on their row."""

import re
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedCharField, FromRow, stored_cell
from tests.app.models import Organization, Patient

pytestmark = pytest.mark.django_db


@pytest.fixture
def patient() -> Patient:
    organization = Organization.objects.create(name="o", workos_id="org_1")
    return Patient.objects.create(organization=organization, ssn="123-45-6789")


def test_null_needs_no_row(patient: Patient) -> None:
    """Clearing a column seals nothing."""
    assert Patient.objects.update(ssn=None) == 1
    assert Patient.objects.get().ssn is None


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


@pytest.mark.django_db(transaction=True)
@isolate_apps("tests.app")
def test_what_the_message_says_helps() -> None:
    """A value needs the row. The message has the line to add and its import; with both, update() works."""
    with pytest.raises(FieldError) as caught:
        Patient.objects.update(ssn="987-65-4321")
    said = str(caught.value)
    assert "987" not in said
    line, imported = re.search(r"give the model (.+?), with: (from .+)$", said).groups()  # type: ignore[union-attr]
    namespace: dict[str, Any] = {}
    exec(f"{imported}\n{line}", namespace)

    class Chart(models.Model):
        owner = models.CharField(max_length=10)
        note = EncryptedCharField(max_length=20, key_context={"organization_id": FromRow("owner")})
        objects = namespace["objects"]

        class Meta:
            app_label = "app"

    with connection.schema_editor() as editor:
        editor.create_model(Chart)
    try:
        Chart.objects.bulk_create([Chart(owner=name, note="before") for name in ("org_1", "org_2")])
        assert Chart.objects.update(note="after") == 2
        assert {row.note for row in Chart.objects.all()} == {"after"}
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Chart)
