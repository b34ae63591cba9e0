"""model_bakery makes values for encrypted fields as it does for plain ones."""

from typing import Any

import pytest

from tests.app.everything import EACH_TYPE, Everything, PlainEverything
from tests.app.models import Organization, Patient

baker = pytest.importorskip("model_bakery.baker")
generators = pytest.importorskip("model_bakery.generators")

#: what the package makes no plain value for either
KNOWN = [
    name for name in EACH_TYPE if type(PlainEverything._meta.get_field(name)) in generators.default_mapping
]


def test_most_types_are_known() -> None:
    """All but those that are made of another package's field."""
    assert set(EACH_TYPE) - set(KNOWN) == {"fraction", "range"}


@pytest.mark.django_db
@pytest.mark.parametrize("name", KNOWN)
def test_a_value_of_each_type_is_made_and_saved(name: str) -> None:
    """What is made is what the field takes, and comes back from the database."""
    made: Any = baker.make(Everything, _fill_optional=[name])
    value = getattr(Everything.objects.get(), name)
    assert value == Everything._meta.get_field(name).to_python(getattr(made, name))


@pytest.mark.django_db
def test_relations_that_choose_the_key_are_named() -> None:
    """A row whose organization chooses the key needs one; bakery leaves what may be NULL empty."""
    organization = baker.make(Organization, workos_id="org_1")
    made = baker.make(Patient, organization=organization, _fill_optional=["ssn"])
    assert Patient.objects.get().ssn == made.ssn != ""
