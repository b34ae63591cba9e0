"""What a project has around each call of a vault."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, VaultUnavailable
from tests.app.models import Person

pytestmark = pytest.mark.django_db
noted: list[Any] = []


@contextmanager
def note(alias: str, operation: str) -> Iterator[None]:
    noted.append((alias, operation))
    try:
        yield
    except Exception as exc:
        noted.append(type(exc))
        raise


@contextmanager
def swallow(alias: str, operation: str) -> Iterator[None]:
    with pytest.raises(VaultError):
        yield


def fail_before(alias: str, operation: str) -> Any:
    raise RuntimeError("no tracer")


@contextmanager
def fail_after(alias: str, operation: str) -> Iterator[None]:
    yield
    raise RuntimeError("no exporter")


@pytest.fixture(autouse=True)
def _nothing_noted() -> None:
    noted.clear()


@contextmanager
def observed_by(observer: Any) -> Iterator[None]:
    from django.conf import settings

    with override_settings(
        WORKOS_VAULTS={"default": settings.WORKOS_VAULTS["default"] | {"OBSERVER": observer}}
    ):
        yield
    vaults.reset()


@pytest.mark.parametrize("observer", [note, f"{__name__}.note"])
def test_each_call_of_a_local_vault_is_observed(observer: Any) -> None:
    """By alias and operation; what needs no call is not."""
    with observed_by(observer):
        Person.objects.create(notes="a note")
        Person.objects.create(notes="another")
        assert noted == [("default", "create_data_key")]


def test_each_call_over_http_is_observed(remote_vault: RunningEmulator) -> None:
    """Retries and waits are within one observation, and the error that a call ends with passes through."""
    with observed_by(note):
        remote_vault.faults.fail_next = 1
        vaults["default"].rotate()
        assert noted == [("default", "create_data_key")]
        made = vaults["default"].create_object("a name", "a value", {"app": "tests"})
        noted.clear()
        vaults["default"].delete_object(made.id)
        with pytest.raises(VaultError):
            vaults["default"].read_object(made.id)
        assert noted[:2] == [("default", "delete_object"), ("default", "read_object")]
        assert issubclass(noted[2], VaultError)


def test_an_observer_cannot_swallow_an_error(remote_vault: RunningEmulator) -> None:
    """An outage stays one: nothing takes a missing answer for an answer."""
    remote_vault.faults.fail, remote_vault.faults.fail_status = 1, 503
    remote_vault.faults.retry_after = "3600"
    with observed_by(swallow), pytest.raises(VaultUnavailable):
        vaults["default"].list_objects(limit=1)


@pytest.mark.parametrize("observer", [fail_before, fail_after])
def test_an_observer_that_fails_is_logged(observer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And the call goes on."""
    with observed_by(observer):
        Person.objects.create(notes="a note")
    assert Person.objects.get().notes == "a note"
    assert [
        record.getMessage().startswith("The OBSERVER of a vault failed") for record in caplog.records
    ] == [True]
    assert "a note" not in caplog.text


@pytest.mark.parametrize("observer", [3, "no.such.function", "example_project"])
def test_what_is_no_observer_is_refused(observer: Any) -> None:
    """By name, before anything is sealed."""
    with observed_by(observer), pytest.raises(InvalidVaultConfiguration, match="OBSERVER"):
        _ = vaults["default"]
