"""What ``django_workos_vault.testing`` gives to the tests of a project."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.utils import timezone

from django_workos_vault import vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultPermissionDenied,
    VaultUnavailable,
    WouldBlockEventLoop,
)
from django_workos_vault.fields import aload_keys
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.testing import VaultForTests, local_vaults, vaults_for_tests
from tests.app.models import Person

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture
def person(transactional_db: None, local_vault: Any) -> Person:
    made = Person.objects.create(name="Ada", notes="likes tea")
    local_vault.forget_keys()
    return Person.objects.get(pk=made.pk)


class TestFixtures:
    def test_requests_are_counted(self, person: Person, vault_requests: Any) -> None:
        """A cold read is one request, a warm one none; another number than expected is told."""
        with vault_requests(1):
            assert person.notes == "likes tea"
        with vault_requests(0):
            assert Person.objects.get(pk=person.pk).notes == "likes tea"
        with pytest.raises(AssertionError, match="0 requests to Vault, not 2"), vault_requests(2):
            pass

    def test_an_outage_begins_and_ends(self, person: Person, vault_outage: Any) -> None:
        """Reading fails as in an outage, in the block alone, and the test need not wait for the end of it."""
        assert person.notes == "likes tea"
        with vault_outage():
            again = Person.objects.get(pk=person.pk)
            with pytest.raises(VaultUnavailable, match="the test says so"):
                _ = again.notes
        assert again.notes == "likes tea"

    def test_an_outage_ends_with_an_error_too(self, local_vault: Any) -> None:
        """A test that fails inside of it leaves no broken vault behind."""
        with pytest.raises(ZeroDivisionError), local_vault.outage():
            _ = 1 / 0
        assert not local_vault.backend.is_down

    def test_a_key_is_withdrawn(self, person: Person, withdrawn_key: Any) -> None:
        """Also where it was in memory."""
        assert person.notes == "likes tea"
        withdrawn_key(app="tests")
        with pytest.raises(VaultPermissionDenied):
            _ = Person.objects.get(pk=person.pk).notes

    def test_what_was_withdrawn_is_back_in_the_next_test(self, person: Person) -> None:
        """Each test has vaults of its own."""
        assert person.notes == "likes tea"

    @pytest.mark.usefixtures("frozen_data_keys")
    def test_no_key_is_replaced(self, person: Person) -> None:
        """A key that would be too old for the site's settings goes on sealing."""
        long_ago = timezone.now() - timezone.timedelta(days=3650)  # type: ignore[attr-defined]
        DataKeyRecord.objects.update(created_at=long_ago)
        Person.objects.create(name="Bob", notes="later")
        assert DataKeyRecord.objects.count() == 1

    def test_without_it_one_is(self, person: Person) -> None:
        """The same test, on the clock."""
        long_ago = timezone.now() - timezone.timedelta(days=3650)  # type: ignore[attr-defined]
        DataKeyRecord.objects.update(created_at=long_ago)
        Person.objects.create(name="Bob", notes="later")
        assert DataKeyRecord.objects.count() == 2


class TestPretendingToBeRemote:
    async def _read(self, pk: Any, ready: bool) -> str:
        person = await Person.objects.aget(pk=pk)
        if ready:
            await aload_keys([person])
        return str(person.notes)

    def test_a_view_that_would_wait_is_found(self, person: Person) -> None:
        """With a cold key it fails as in production; loading keys first, or a warm key, helps."""
        with pytest.raises(WouldBlockEventLoop):
            async_to_sync(self._read)(person.pk, ready=False)
        assert async_to_sync(self._read)(person.pk, ready=True) == "likes tea"
        assert async_to_sync(self._read)(person.pk, ready=False) == "likes tea"

    @pytest.mark.parametrize("remote", [True, False])
    def test_the_option_of_a_local_vault(self, remote: bool, settings: Any, transactional_db: None) -> None:
        """Any LocalVault does so when told, and none unless told."""
        entry = django_settings.WORKOS_VAULTS["default"]
        options = {**entry["OPTIONS"], "pretend_remote": remote}
        settings.WORKOS_VAULTS = {"default": {**entry, "OPTIONS": options}}
        person = Person.objects.create(name="Ada", notes="likes tea")
        vaults["default"].forget_keys()
        if remote:
            with pytest.raises(WouldBlockEventLoop):
                async_to_sync(self._read)(person.pk, ready=False)
        assert async_to_sync(self._read)(person.pk, ready=remote) == "likes tea"

    def test_anything_but_true_and_false_is_refused(self) -> None:
        """A text such as "false" from the environment would be true."""
        with pytest.raises(InvalidVaultConfiguration, match="pretend_remote must be True or False"):
            LocalVault(master_key=bytes(32), pretend_remote="false")  # type: ignore[arg-type]


def test_settings_of_the_site_become_those_of_tests() -> None:
    """Aliases, contexts and policies stay; backends and their secrets do not."""
    given = {
        "default": {"BACKEND": "a.B", "KEY_CONTEXT": {"app": "clinic"}, "OPTIONS": {"api_key": "sk_live_x"}},
        "billing": {"BACKEND": "a.B", "DATA_KEYS": {"cache_size": 5}, "OPTIONS": {"api_key": "sk_live_y"}},
    }
    made = vaults_for_tests(given)
    assert made["default"]["KEY_CONTEXT"] == {"app": "clinic"}
    assert made["billing"]["DATA_KEYS"] == {"cache_size": 5}
    assert "sk_live" not in repr(made)
    assert vaults_for_tests(pretend_remote=False)["default"]["OPTIONS"] == {"pretend_remote": False}


def test_a_control_that_is_out_of_date() -> None:
    """Settings changed inside of it are told, and not taken for the vault in memory."""
    with local_vaults() as vault:
        assert isinstance(vault.backend, VaultForTests)
    with pytest.raises(TypeError, match="were the settings changed"):
        _ = vault.backend


def test_pytest_is_imported_by_nobody_else() -> None:
    """Without pytest the context managers are there, and nothing imports it."""
    source = "import sys, django_workos_vault.testing; print('pytest' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    assert done.stdout.strip() == "False"


PROJECT = {
    "conftest.py": 'pytest_plugins = ["django_workos_vault.testing"]\n',
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n",
    "settings.py": """
from django_workos_vault.testing import vaults_for_tests

SECRET_KEY = "tests only"
INSTALLED_APPS = ["clinic", "django_workos_vault"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
WORKOS_VAULTS = vaults_for_tests({"default": {"KEY_CONTEXT": {"app": "clinic"}}})
""",
    "clinic/__init__.py": "",
    "clinic/models.py": """
from django.db import models
from django_workos_vault.fields import EncryptedCharField


class Badge(models.Model):
    code = EncryptedCharField(max_length=20)
""",
    "test_badges.py": """
import pytest
from asgiref.sync import async_to_sync
from clinic.models import Badge
from django_workos_vault.exceptions import WouldBlockEventLoop

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_request(local_vault, vault_requests):
    Badge.objects.create(code="A-1")
    local_vault.forget_keys()
    with vault_requests(1):
        assert Badge.objects.get().code == "A-1"


def test_two_requests_are_too_many(local_vault, vault_requests):
    Badge.objects.create(code="A-1")
    local_vault.forget_keys()
    with vault_requests(2):
        assert Badge.objects.get().code == "A-1"


async def view():
    badge = await Badge.objects.aget()
    return badge.code


def test_a_cold_view(local_vault):
    import asyncio

    Badge.objects.create(code="A-1")
    local_vault.forget_keys()
    asyncio.run(view())
""",
}


@pytest.mark.slow
def test_a_project_of_a_user(tmp_path: Path) -> None:
    """The plugin, the settings, and what they find: a wrong count, and a view that would block."""
    for name, source in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, env=_environment()
    )
    assert "2 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "1 requests to Vault, not 2" in done.stdout
    assert "WouldBlockEventLoop" in done.stdout


def _environment() -> dict[str, str]:
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}
