"""Savepoints made with ``transaction.savepoint()``, as django-import-export's dry runs do."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings

from django_workos_vault import vaults
from tests.app.models import Account, Person

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reference() -> Iterator[None]:
    vault: dict[str, Any] = {**settings.WORKOS_VAULTS["default"], "DATA_KEYS": {"envelope": "reference"}}
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield


@pytest.mark.parametrize("then", ["in the transaction", "after it"])
def test_a_key_rolled_back_by_hand_is_registered_again(reference: None, then: str) -> None:
    """A cell that refers to the registry has its record, though the first one was rolled back."""
    with transaction.atomic():
        sid = connection.savepoint()
        Person.objects.create(ssn="1")
        connection.savepoint_rollback(sid)
        if then == "in the transaction":
            Person.objects.bulk_create([Person(ssn="2")])
    if then == "after it":
        Person.objects.create(ssn="2")
    vaults.reset()
    assert Person.objects.get().ssn == "2"


@pytest.mark.parametrize("then", ["in the transaction", "after it"])
def test_an_index_key_rolled_back_by_hand_is_stored_again(then: str) -> None:
    """What is written afterwards is found by other processes."""
    with transaction.atomic():
        sid = connection.savepoint()
        Account.objects.create(login="one")
        connection.savepoint_rollback(sid)
        if then == "in the transaction":
            Account.objects.create(login="two")
    if then == "after it":
        Account.objects.create(login="two")
    vaults.reset()
    assert Account.objects.get(login="two").login == "two"


def test_a_released_savepoint_changes_nothing(reference: None) -> None:
    """What a savepoint of Django's or by hand held stays when it is released, and goes with the rest."""
    with transaction.atomic():
        sid = connection.savepoint()
        with transaction.atomic():
            Person.objects.create(ssn="1")
        connection.savepoint_commit(sid)
    vaults.reset()
    assert Person.objects.get().ssn == "1"
