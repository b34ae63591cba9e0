"""Names of modules that moved, as they stand in caches and migrations that were filled and written before."""

import importlib
import pickle
from typing import Any

import pytest
from django.db import models

from django_workos_vault import fields
from django_workos_vault.exceptions import UntrustedReference
from tests.app.models import Credential, Device, Organization, Patient

pytestmark = pytest.mark.django_db

MOVED = {
    b"django_workos_vault.fields.cell\n": b"django_workos_vault.fields.sealed\n",
    b"django_workos_vault.fields.object_value\n": b"django_workos_vault.fields.stored\n",
    b"django_workos_vault.fields.object_reference\n": b"django_workos_vault.fields.stored\n",
}
#: ``ObjectReference("a-1", "b-2", True)``, when there were no proofs
REFERENCE = (
    b"ccopy_reg\n_reconstructor\np0\n(cdjango_workos_vault.fields.stored\nObjectReference\np1\n"
    b"c__builtin__\nobject\np2\nNtp3\nRp4\n(lp5\nVa-1\np6\naVb-2\np7\naI01\nab."
)


def cached_before(row: models.Model) -> Any:
    """Return ``row`` out of a cache that was filled when the modules had their former names."""
    text = pickle.dumps(row, protocol=2)  # which has names of modules without their lengths
    assert any(name in text for name in MOVED)
    for name, former in MOVED.items():
        text = text.replace(name, former)
    return pickle.loads(text)


@pytest.fixture
def acme() -> Organization:
    return Organization.objects.create(name="Acme", workos_id="org_acme")


def test_cached_row_outlives_the_names_of_modules(acme: Organization) -> None:
    """A row that was cached before a deployment is read after it, and saved with the same bytes."""
    Patient.objects.create(organization=acme, ssn="123-45-6789")
    row = cached_before(Patient.objects.get())
    before = fields.stored_cell(row, "ssn")
    assert row.ssn == "123-45-6789"
    row.save()
    assert fields.stored_cell(Patient.objects.get(), "ssn") == before


def test_cached_row_is_still_bound(acme: Organization) -> None:
    """A bound cell of a cached row knows its row."""
    Device.objects.create(organization=acme, pin="1234")
    assert cached_before(Device.objects.get()).pin == "1234"


def test_assigned_values_outlive_the_names_of_modules(acme: Organization) -> None:
    """Values that were assigned and not saved are in the cached row too."""
    device = Device.objects.create(organization=acme, pin="1234")
    credential = Credential.objects.create(token="one")
    credential.token = "two"
    assert cached_before(device).pin == "1234"
    assert cached_before(credential).token == "two"


def test_cached_reference_is_a_typed_error_until_the_row_is_loaded() -> None:
    """A cached reference tells too little of its row: it is refused, and saving keeps the column."""
    Credential.objects.create(token="one")
    row = cached_before(Credential.objects.get())
    with pytest.raises(UntrustedReference):
        _ = row.token
    row.save()
    assert Credential.objects.get().token == "one"


def test_reference_from_before_there_were_proofs_is_one_without() -> None:
    """A pickled ``ObjectReference`` of former times has neither a proof nor anything unreadable."""
    reference = pickle.loads(REFERENCE)
    assert reference == fields.ObjectReference("a-1", "b-2", True)
    assert (str(reference), reference.unreadable) == ("a-1:b-2:json", "")
    assert pickle.loads(pickle.dumps(reference)) == reference


@pytest.mark.parametrize("name", ["Char", "Email", "Slug", "Text", "URL"])
def test_migration_may_name_the_former_module_of_text_fields(name: str) -> None:
    """Migrations that were copied from the example project say ``fields.text``."""
    former = importlib.import_module("django_workos_vault.fields.text")
    twin = f"Encrypted{name}Field"
    assert getattr(former, twin) is getattr(fields, twin)
