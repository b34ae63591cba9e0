"""Rows of each kind of column, and whether all that can be asked of them is answered."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import OuterRef

from django_workos_vault import vaults
from tests.app.models import Account, Device, Organization, Patient, Person, Resident, Voter


def clinic() -> Organization:
    return Organization.objects.get_or_create(name="clinic", workos_id="org_1")[0]


def make(model: Any, number: int) -> Any:
    """Return a saved row; the values of each number are others."""
    values: dict[Any, dict[str, Any]] = {
        Person: {"ssn": f"{number}", "notes": f"note {number}"},
        Patient: {"organization": clinic(), "ssn": f"{number}"},
        Device: {"organization": clinic(), "pin": f"{number}"},
        Account: {"email": f"{number}@x.org", "login": f"User{number}", "phone": f"{number}", "city": "Lyon"},
        Voter: {"surname": f"Doe {number}", "town": "Lyon"},
        Resident: {"organization": clinic(), "town": f"Lyon {number}", "street": f"Rue {number}"},
    }
    return model.objects.create(**values[model])


def refused(model: Any, **values: Any) -> None:
    """The database keeps a second row with these values out, where it has indexes over expressions."""
    if connection.features.supports_expression_indexes:
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(**values)


def check(model: Any, numbers: range) -> None:
    """Every row is read, found by everything that it can be searched by, and kept apart."""
    vaults.reset()
    rows = {
        pk: number for number, pk in zip(numbers, model.objects.order_by("pk").values_list("pk"), strict=True)
    }
    assert len(rows) == len(numbers)
    for number in numbers:
        if model is Person:
            assert {(row.ssn, row.notes) for row in Person.objects.all()} >= {(f"{number}", f"note {number}")}
        elif model in (Patient, Device):
            name = "ssn" if model is Patient else "pin"
            assert f"{number}" in {getattr(row, name) for row in model.objects.all()}
        elif model is Account:
            for search in (
                {"email": f"{number}@X.ORG"},
                {"login": f"User{number}"},
                {"login__iexact": f"uSER{number}"},
                {"login__in": [f"User{number}", "nobody"]},
                {"phone__digits": f"{number}"},
            ):
                assert Account.objects.get(**search).login == f"User{number}"
            with pytest.raises(ValidationError):
                Account(email=f"{number}@x.org").full_clean()
            refused(Account, email=f"{number}@x.org")
        elif model is Voter:
            assert (
                Voter.objects.get(surname__surname_and_town=[f"Doe {number}", "Lyon"]).surname
                == f"Doe {number}"
            )
            refused(Voter, surname=f"Doe {number}", town="Lyon")
        else:
            assert Resident.objects.get(town=f"Lyon {number}").street == f"Rue {number}"
    if model is Account:
        assert Account.objects.filter(city="Lyon").count() == len(numbers)
        same = Account.objects.filter(login=OuterRef("login"))
        assert Account.objects.filter(pk__in=same.values("pk")).count() in (0, len(numbers))
