"""A project without ``USE_TZ``: the registry keeps its times, and every command runs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Account, Badge, Device, Organization, Person

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[True, False], ids=["USE_TZ", "no USE_TZ"])
def zones(request: Any) -> Iterator[bool]:
    with override_settings(USE_TZ=request.param, TIME_ZONE="Asia/Tokyo"):
        yield request.param


def newest() -> Any:
    keyring = vaults["default"].keyring
    context = KeyContext({"app": "tests"})
    return keyring.registry.current([context])[context.digest]


def test_the_registry_gives_back_the_moment_it_was_given(zones: bool) -> None:
    """A data key's age is counted from the moment it was made, whatever zone the column is in."""
    before = datetime.now(UTC) - timedelta(seconds=1)
    Person.objects.create(ssn="123-45-6789")
    assert before < newest().created_at < datetime.now(UTC) + timedelta(seconds=1)


def test_an_old_data_key_is_replaced(zones: bool) -> None:
    """``rotate_after`` counts from the stored time, and a younger key stays in use."""
    Person.objects.create(ssn="123-45-6789")
    for age, keys in ((29, 1), (31, 2)):
        vaults.reset()
        for record in DataKeyRecord.objects.all():
            record.created_at -= timedelta(days=age)
            record.save()
        Person.objects.create(ssn="123-45-6789")
        assert DataKeyRecord.objects.count() == keys
        DataKeyRecord.objects.update(created_at=record.created_at + timedelta(days=age))


def test_every_command_and_kind_of_write(zones: bool) -> None:
    """Saving, searching, bulk writes, a check and a re-encryption run with and without time zones."""
    organization = Organization.objects.create(name="Org", workos_id="org_1")
    Device.objects.create(organization=organization, pin="1234")
    Account.objects.create(email="Ada@example.com", login="ada")
    Badge.objects.bulk_create([Badge(code="a", number=1), Badge(code="b", number=2)])
    assert Account.objects.get(email="ada@EXAMPLE.com").login == "ada"
    vaults.reset()
    out = StringIO()
    for target in ("app.Device", "app.Account", "app.Badge"):
        call_command("vault_reencrypt", target, stdout=out, verbosity=0)
    call_command("vault_check", "--all", stdout=out, verbosity=0)
    assert [badge.number for badge in Badge.objects.order_by("code")] == [1, 2]
    assert Account.objects.get(login="ada").email == "Ada@example.com"
    dump = StringIO()
    call_command("dumpdata", "app.Badge", "django_workos_vault", stdout=dump)
    assert "workos-vault-cell:" in dump.getvalue()
