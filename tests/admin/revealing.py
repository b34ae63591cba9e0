"""What the tests of the reveal have in common: people, and ways to ask."""

from typing import Any

from django.contrib.auth.models import Permission, User
from django.test import Client

from django_workos_vault.models import AccessRecord
from tests.app.models import Person

SSN, NOTES, EMAIL = "123-45-6789", "a note nobody may read", "ada@private.example"
PASSWORD = "correct horse"


def staff(*codenames: str, name: str = "support") -> User:
    """A member of staff with these permissions, on models of the app ``app`` where others share the name."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__in=codenames, content_type__app_label="app")
    )
    return user


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def person() -> Person:
    return Person.objects.create(name="Ada", ssn=SSN, notes=NOTES, email=EMAIL)


def address(row: Any, field: str = "ssn") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/reveal/{field}/"


def records(*names: str) -> list[tuple[Any, ...]]:
    """The columns ``names`` of all records, the oldest first."""
    return list(AccessRecord.objects.order_by("sequence").values_list(*names or ("action", "outcome")))
