"""``vault_check`` where Vault fails with one customer's key and answers for the others: it goes on."""

from base64 import b64encode
from io import BytesIO
from typing import Any

import pytest
from django.test import override_settings

from django_workos_vault import envelope, vaults
from django_workos_vault.emulator.server import EmulatorServer
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Organization, Patient
from tests.checked import checked
from tests.maintenance.reencrypting import cell_of

pytestmark = pytest.mark.django_db(databases="__all__")


class OneKeyDown:
    """In front of an emulator: to unwrap ``wrapped`` is a 503."""

    def __init__(self, emulator: RunningEmulator) -> None:
        self._app = emulator.app
        self.faults = emulator.faults
        self.wrapped = b""

    def __call__(self, environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if self.wrapped and b64encode(self.wrapped) in body:
            start_response("503 Service Unavailable", [("Content-Type", "application/json")])
            return [b'{"error": "no"}']
        return self._app({**environ, "wsgi.input": BytesIO(body)}, start_response)


def test_the_fault_stays_where_it_is(vault_emulator: RunningEmulator) -> None:
    """Its rows are named with the reason, the others are opened, and the exit status tells."""
    app: Any = OneKeyDown(vault_emulator)
    with EmulatorServer(app) as server:
        options = {"api_key": vault_emulator.api_key, "base_url": server.url, "deadline": 1.0}
        backend = "django_workos_vault.backends.workos.WorkOSVault"
        vault = {"BACKEND": backend, "KEY_CONTEXT": {"app": "tests"}, "OPTIONS": options}
        with override_settings(WORKOS_VAULTS={"default": vault}):
            rows = [
                Patient.objects.create(
                    organization=Organization.objects.create(name=name, workos_id=name), ssn="123-45-6789"
                )
                for name in ("org_1", "org_2", "org_3")
            ]
            app.wrapped = envelope.parse(cell_of(rows[1])).key_reference
            DataKeyRecord.objects.all().delete()  # so that the columns alone tell
            vaults["default"].forget_keys()
            report = checked()
    assert not report["ok"]
    [column] = [each for each in report["columns"] if each["column"] == "app.Patient.ssn"]
    assert (column["rows"], column["opened"]) == (3, 2)
    assert [(cell["pk"], cell["reason"]) for cell in column["cannot_be_opened"]] == [
        (rows[1].pk, "VaultUnavailable")
    ]
