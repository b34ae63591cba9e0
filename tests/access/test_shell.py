"""``SHELL: "forbid"``: a shell opens nothing without a reason, which is on record first."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import override_settings

from django_workos_vault import forbidding, shell, vaults
from django_workos_vault.exceptions import AccessNotRecorded, DecryptionForbidden, InvalidVaultConfiguration
from django_workos_vault.models import AccessRecord
from tests.app.models import Person
from tests.settings import WORKOS_VAULTS

pytestmark = pytest.mark.django_db
CHECKOUT = Path(__file__).resolve().parents[2]


def forbid(value: Any = "forbid") -> dict[str, Any]:
    return {"default": {**WORKOS_VAULTS["default"], "SHELL": value}}


@pytest.fixture
def in_shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of ``manage.py shell``."""
    monkeypatch.setattr(sys, "argv", ["manage.py", "shell"])
    with override_settings(WORKOS_VAULTS=forbid()):
        shell.want_justification_in_shells()
        yield
    forbidding.want_justification("default", wanted=False)


@pytest.mark.usefixtures("in_shell")
def test_a_shell_opens_nothing_until_it_is_justified() -> None:
    """Rows can be listed and written; what is opened in the block is on record, like a reveal."""
    Person.objects.create(ssn="123-45-6789")
    with pytest.raises(DecryptionForbidden, match=r"vaults\['default'\].justified"):
        _ = Person.objects.get().ssn
    with vaults["default"].justified(" ticket 4711 "):
        assert Person.objects.get().ssn == "123-45-6789"
    with pytest.raises(DecryptionForbidden):
        _ = Person.objects.get().ssn
    record = AccessRecord.objects.get()
    assert (record.action, record.vault, record.reason) == ("shell", "default", "ticket 4711")
    assert (record.username, record.view) == (getpass.getuser(), "manage.py shell")


@pytest.mark.usefixtures("in_shell")
def test_with_a_warm_key_too() -> None:
    """The short way of cells whose key was used a moment ago is closed as well."""
    people = [Person.objects.create(ssn="123-45-6789") for _ in range(2)]
    with vaults["default"].justified("ticket 4711"):
        assert [person.ssn for person in Person.objects.all()] == ["123-45-6789"] * 2
    with pytest.raises(DecryptionForbidden):
        _ = Person.objects.get(pk=people[0].pk).ssn
    with pytest.raises(DecryptionForbidden):
        vaults["default"].decrypt(vaults["default"].encrypt("text"))


@pytest.mark.usefixtures("in_shell")
def test_an_inner_prohibition_stays() -> None:
    """A reason does not lift decryption_forbidden()."""
    Person.objects.create(ssn="123-45-6789")
    vault = vaults["default"]
    with vault.justified("ticket"), vault.decryption_forbidden(), pytest.raises(DecryptionForbidden):
        _ = Person.objects.get().ssn


@pytest.mark.usefixtures("in_shell")
def test_without_a_record_nothing_is_opened() -> None:
    """The block is not entered when its record cannot be written."""
    Person.objects.create(ssn="123-45-6789")

    def down(execute: Any, statement: str, *args: Any) -> Any:
        if "accessrecord" in statement:
            raise OperationalError("the server is gone")
        return execute(statement, *args)

    entered = False
    justified = vaults["default"].justified("ticket 4711")
    with connection.execute_wrapper(down), pytest.raises(AccessNotRecorded), justified:
        entered = True
    assert not entered


@pytest.mark.parametrize("reason", ["", "  ", None, 4711])
def test_no_reason_is_none(reason: Any) -> None:
    """A reason is a text with something in it."""
    with pytest.raises(ValueError, match="takes a reason"), vaults["default"].justified(reason):
        pass
    assert not AccessRecord.objects.exists()


@pytest.mark.parametrize("argv", [["manage.py"], ["manage.py", "runserver"], ["gunicorn", "clinic.wsgi"]])
def test_other_processes_open_as_ever(monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    """The setting is about shells."""
    monkeypatch.setattr(sys, "argv", argv)
    with override_settings(WORKOS_VAULTS=forbid()):
        shell.want_justification_in_shells()
        Person.objects.create(ssn="123-45-6789")
        assert Person.objects.get().ssn == "123-45-6789"


def test_the_setting_is_validated() -> None:
    """It is one of two words."""
    told = r"'SHELL'\] must be 'allow' or 'forbid'"
    with override_settings(WORKOS_VAULTS=forbid("no")), pytest.raises(InvalidVaultConfiguration, match=told):
        _ = vaults["default"]


@pytest.mark.slow
def test_a_real_shell(tmp_path: Path) -> None:
    """``manage.py shell -c``, in a process of its own."""
    (tmp_path / "forbidding_settings.py").write_text(
        "from tests.settings import *\n"
        "WORKOS_VAULTS['default']['SHELL'] = 'forbid'\n"
        f"DATABASES['default']['NAME'] = {str(tmp_path / 'db.sqlite3')!r}\n"
        "DATABASES['default']['ENGINE'] = 'django.db.backends.sqlite3'\n"
        "DATABASES['default'].pop('OPTIONS', None)\n"
    )
    script = (
        "from django_workos_vault import vaults; from tests.app.models import Person\n"
        "from django_workos_vault.models import AccessRecord\n"
        "Person.objects.create(ssn='123-45-6789')\n"
        "try: print(Person.objects.get().ssn)\n"
        "except Exception as exc: print(type(exc).__name__)\n"
        "with vaults['default'].justified('ticket 4711'): print(Person.objects.get().ssn[-4:])\n"
        "print(AccessRecord.objects.get().reason)\n"
    )
    path = f"{tmp_path}{os.pathsep}{CHECKOUT}"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "forbidding_settings", "PYTHONPATH": path}

    def manage(*arguments: str) -> list[str]:
        command = [sys.executable, "-m", "django", *arguments]
        options: Any = {"capture_output": True, "text": True, "check": True}
        done = subprocess.run(command, env=environment, cwd=CHECKOUT, **options)
        return str(done.stdout).splitlines()

    manage("migrate", "--run-syncdb", "-v0")
    told = manage("shell", "-v0", "-c", script)
    assert told[-3:] == ["DecryptionForbidden", "6789", "ticket 4711"]
