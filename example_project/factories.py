"""Synthetic patients: nobody's data, and the same ones each time after ``reseed_random()``."""

from typing import Any

from factory.declarations import LazyAttribute, Sequence
from factory.django import DjangoModelFactory
from factory.faker import Faker
from factory.random import reseed_random

from example_project.models import Organization, Patient

__all__ = ["OrganizationFactory", "PatientFactory", "reseed_random"]

COMPLAINTS = ("hay fever", "a sprained ankle", "migraine", "high blood pressure", "nothing but tiredness")


class OrganizationFactory(DjangoModelFactory[Organization]):
    """An organization that is made once, whatever the number of calls."""

    class Meta:
        model = Organization
        django_get_or_create = ("workos_id",)

    name = Sequence(lambda n: f"Clinic {n}")
    workos_id = LazyAttribute(lambda o: f"org_{o.name.lower().replace(' ', '_')}")


class PatientFactory(DjangoModelFactory[Patient]):
    """A patient of ``organization``, which must be given."""

    class Meta:
        model = Patient

    organization: Any = None
    name = Faker("name")
    ssn = Faker("ssn")
    email = Faker("email")
    notes = Faker("random_element", elements=[f"Came with {it}." for it in COMPLAINTS])
