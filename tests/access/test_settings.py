"""``WORKOS_VAULT_ADMIN`` is validated option by option, and checked."""

from datetime import timedelta
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.admin_settings import AdminSettings, admin_settings
from django_workos_vault.exceptions import AccessNotRecorded, InvalidVaultConfiguration
from tests.settings import WORKOS_VAULTS

WRONG: list[tuple[Any, str]] = [
    ([], "must be a dict, not list"),
    ({"REVEAL": 1}, "unknown option 'REVEAL'. Known: DAILY_LIMIT, "),
    ({"RECORD_VAULT": "gone"}, "'gone', which WORKOS_VAULTS does not have"),
    ({"RECORD_VAULT": None}, "['RECORD_VAULT'] must be str, not NoneType"),
    ({"REVEAL_FOR": 30}, "['REVEAL_FOR'] must be timedelta, not int"),
    ({"REVEAL_FOR": timedelta(0)}, "['REVEAL_FOR'] must be at least"),
    ({"REASON_REQUIRED": "no"}, "['REASON_REQUIRED'] must be bool, not str"),
    ({"PASSWORD_FOR": 5}, "['PASSWORD_FOR'] must be timedelta or None, not int"),
    ({"DAILY_LIMIT": True}, "['DAILY_LIMIT'] must be int or None, not bool"),
    ({"DAILY_LIMIT": 0}, "['DAILY_LIMIT'] must be at least"),
    ({"MATCHES_AN_HOUR": None}, "['MATCHES_AN_HOUR'] must be int, not NoneType"),
    ({"REMOTE_ADDRESS": 1}, "['REMOTE_ADDRESS'] must be a name"),
    ({"REMOTE_ADDRESS": "no.such.module"}, "['REMOTE_ADDRESS']: No module named"),
]


@pytest.mark.django_db(databases=["default", "other"])  # Django's check of a JSONField asks SQLite
@pytest.mark.parametrize(("given", "message"), WRONG)
def test_every_wrong_option_is_named(given: Any, message: str) -> None:
    """By the settings' reader, and by a check, which is content once it is put right."""
    with override_settings(WORKOS_VAULT_ADMIN=given):
        with pytest.raises(InvalidVaultConfiguration) as caught:
            admin_settings()
        assert message in str(caught.value)
        (found,) = [each for each in checks.run_checks() if each.id == "django_workos_vault.E170"]
        assert message in found.msg
        assert "Correct WORKOS_VAULT_ADMIN" in str(found.hint)
    with override_settings(WORKOS_VAULT_ADMIN={}):
        assert not [each for each in checks.run_checks() if each.id == "django_workos_vault.E170"]


def test_what_is_given_is_taken() -> None:
    """And what is not has its default."""
    assert admin_settings() == AdminSettings()
    given = {"REVEAL_FOR": timedelta(seconds=5), "DAILY_LIMIT": 7, "REMOTE_ADDRESS": "HTTP_X_REAL_IP"}
    with override_settings(WORKOS_VAULT_ADMIN=given):
        assert admin_settings() == AdminSettings(
            reveal_for=timedelta(seconds=5), daily_limit=7, remote_address="HTTP_X_REAL_IP"
        )


@pytest.mark.django_db
def test_a_vault_without_key_context_chains_nothing() -> None:
    """It is warned of; another vault is a way out, and so is a KEY_CONTEXT."""
    bare = {name: value for name, value in WORKOS_VAULTS["default"].items() if name != "KEY_CONTEXT"}

    def warned() -> list[Any]:
        return [each.hint for each in checks.run_checks() if each.id == "django_workos_vault.W170"]

    both = {"default": bare, "second": WORKOS_VAULTS["default"]}
    with override_settings(WORKOS_VAULTS=both):
        assert warned() == ["Give it one, or name another vault in WORKOS_VAULT_ADMIN['RECORD_VAULT']."]
        with pytest.raises(AccessNotRecorded), vaults["second"].justified("a reason"):
            pass
        with override_settings(WORKOS_VAULT_ADMIN={"RECORD_VAULT": "second"}):
            assert not warned()
            with vaults["default"].justified("a reason"):
                pass
    assert not warned()
