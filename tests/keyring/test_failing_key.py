"""Vault fails with one tenant's key (its own key service is down) and answers for the others: so do we."""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import pytest
import stamina
from asgiref.sync import async_to_sync
from django.test import Client

from django_workos_vault import envelope, vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import VaultUnavailable
from django_workos_vault.fields import aload_keys, load_keys, stored_cell
from django_workos_vault.reading import value_or
from tests.app.models import Organization, Patient

pytestmark = pytest.mark.django_db
TENANTS = 90  # more than are asked for at once


class FailingFor:
    """In front of the emulator: 503 for some wrapped keys, once others have been asked for meanwhile."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._others = threading.Semaphore(0)
        self.failing: set[str] = set()
        self.refused = 0
        self.asked = 0

    def __call__(self, environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ["PATH_INFO"].endswith("/decrypt"):
            return self._app(environ, start_response)
        self.asked += 1
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        if json.loads(body)["keys"] not in self.failing:
            self._others.release()
            return self._app(environ, start_response)
        self.refused += 1
        for _ in range(9 if len(self.failing) == 1 else 0):  # two by one of the eight threads
            self._others.acquire(timeout=20)
        start_response("503 Down", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"{}"]


@pytest.fixture
def vault(vault_emulator: RunningEmulator, settings: Any) -> FailingFor:
    front = FailingFor(vault_emulator.app)
    options = {
        "api_key": vault_emulator.api_key,
        "base_url": vault_emulator.url,
        "transport": httpx.WSGITransport(front),  # type: ignore[arg-type]
    }
    backend = "django_workos_vault.backends.workos.WorkOSVault"
    settings.WORKOS_VAULTS = {
        "default": {"BACKEND": backend, "KEY_CONTEXT": {"app": "x"}, "OPTIONS": options}
    }
    organizations = [Organization(name=str(n), workos_id=f"org_{n}") for n in range(TENANTS)]
    Organization.objects.bulk_create(organizations)
    Patient.objects.bulk_create(Patient(organization=org, ssn=org.name) for org in organizations)
    vaults["default"].keyring.forget()
    return front


def fail_for(vault: FailingFor, *numbers: int) -> None:
    for row in Patient.objects.filter(organization__name__in=map(str, numbers)):
        wrapped = envelope.parse(bytes(stored_cell(row, "ssn") or b"")).key_reference
        vault.failing.add(base64.b64encode(wrapped).decode())


def read_all(rows: list[Patient]) -> list[int]:
    """Read every value; return which could not be had."""
    failed = []
    for n, row in enumerate(rows):
        try:
            assert row.ssn == str(n)
        except VaultUnavailable:
            failed.append(n)
    return failed


@pytest.mark.parametrize("kind", ["one by one", "load_keys", "aload_keys"])
def test_the_others_are_read(vault: FailingFor, kind: str) -> None:
    """Only the rows of that tenant cannot be read, and Vault is not asked for its key once a row."""
    fail_for(vault, 3)
    rows = list(Patient.objects.order_by("pk"))
    with stamina.set_testing(True, attempts=2):
        if kind == "load_keys":
            load_keys(rows)
        elif kind == "aload_keys":
            async_to_sync(aload_keys)(rows)
        assert read_all(rows) == [3]
        assert read_all(list(Patient.objects.order_by("pk"))) == [3]
    assert vault.refused == 2
    assert vaults["default"].backend.asks_again_in() == 0
    assert value_or(rows[3], "ssn", "-") == "-"


def test_a_list_in_the_admin(vault: FailingFor, admin_client: Client, settings: Any) -> None:
    """One cell of the page is marked. The page has the last row first, and the key is asked for early."""
    fail_for(vault, TENANTS - 4)
    with stamina.set_testing(True, attempts=2):
        for mask in ("full", "last4"):
            Patient._meta.get_field("ssn").mask = mask  # type: ignore[union-attr]
            try:
                page = admin_client.get("/admin/app/patient/").content.decode()
            finally:
                Patient._meta.get_field("ssn").mask = "full"  # type: ignore[union-attr]
            assert page.count("cannot be opened") == (mask == "last4")


@pytest.mark.parametrize("kind", ["load_keys", "aload_keys"])
def test_most_keys_fail(vault: FailingFor, kind: str) -> None:
    """Where a few are answered, the many others do not cost their deadlines one after another."""
    fail_for(vault, *range(2, TENANTS))
    rows = list(Patient.objects.order_by("pk"))
    with stamina.set_testing(True, attempts=2):
        if kind == "load_keys":
            load_keys(rows)
        else:
            async_to_sync(aload_keys)(rows)
        assert read_all(rows)[-1] == TENANTS - 1
    assert vault.refused <= 64
