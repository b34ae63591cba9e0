"""Mistakes in the settings: one message each, and an API key is needed by nothing that asks no vault."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Person

LOCAL = "django_workos_vault.backends.local.LocalVault"
REMOTE = "django_workos_vault.backends.workos.WorkOSVault"
KEY = {"master_key": b"tests only: this is not a secret"}
CONTEXT = {"KEY_CONTEXT": {"app": "tests"}}

#: what WORKOS_VAULTS may be by mistake, and what the one message says
MISTAKES = {
    "not set": (None, "must be a dict of vaults"),
    "no dict": ([], "must be a dict of vaults"),
    "no backend": ({"default": CONTEXT}, "['BACKEND'] must be the dotted path"),
    "backend misspelt": ({"default": {**CONTEXT, "BACKEND": f"{LOCAL}s"}}, "LocalVaults"),
    "entry misspelt": (
        {"default": {"BACKEND": LOCAL, "OPTIONS": KEY, "KEY_CONTXT": {"app": "tests"}}},
        "unknown option 'KEY_CONTXT'. Did you mean 'KEY_CONTEXT'? Known: ALSO_READS, BACKEND, ",
    ),
    "entry in lower case": (
        {"default": {"BACKEND": LOCAL, "OPTIONS": KEY, "key_context": {"app": "tests"}}},
        "Did you mean 'KEY_CONTEXT'?",
    ),
    "option misspelt": (
        {"default": {**CONTEXT, "BACKEND": REMOTE, "OPTIONS": {"apikey": "sk_test_secret"}}},
        "['OPTIONS'] has an unknown option 'apikey'. Did you mean 'api_key'? Known: api_key, base_url, ",
    ),
    "option of nothing alike": (
        {"default": {**CONTEXT, "BACKEND": LOCAL, "OPTIONS": {**KEY, "zebra": 1}}},
        "unknown option 'zebra'. Known: key_file, master_key, objects_file, pretend_remote",
    ),
    "policy misspelt": (
        {"default": {**CONTEXT, "BACKEND": LOCAL, "OPTIONS": KEY, "DATA_KEYS": {"rotate_afer": 1}}},
        "Did you mean 'rotate_after'?",
    ),
    "option of the wrong type": (
        {"default": {**CONTEXT, "BACKEND": REMOTE, "OPTIONS": {"api_key": "sk_test_x", "timeout": "5"}}},
        "timeout must be a number",
    ),
    "no key context": ({"default": {"BACKEND": LOCAL, "OPTIONS": KEY}}, "The same is true of"),
}


@pytest.fixture(autouse=True)
def _after() -> Iterator[None]:
    yield
    vaults.reset()


def ours(**options: Any) -> list[Any]:
    return [
        message
        for message in checks.run_checks(**options)
        if str(message.id).startswith("django_workos_vault.")
        and not str(message.id).endswith("W160")  # models of the tests do without the manager
    ]


@pytest.mark.django_db(databases=["default", "other"])  # Django's check of a JSONField asks SQLite
@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_one_message(mistake: str) -> None:
    """However many fields use the vault; and the message quotes no secret."""
    given, said = MISTAKES[mistake]
    with override_settings(WORKOS_VAULTS=given):
        found = [message for message in ours() if message.id not in _NEEDS_A_CONTEXT]
    assert len(found) == 1, found
    assert said in str(found[0])
    assert "secret" not in str(found[0])


#: what the chain of access records needs besides, and each VaultObjectField whatever its own key_context
_NEEDS_A_CONTEXT = {"django_workos_vault.W170", "django_workos_vault.E110"}


def test_a_vault_that_a_field_misspells() -> None:
    """An alias that is configured nowhere is named beside the nearest that is."""
    with pytest.raises(InvalidVaultConfiguration, match=r"no vault 'defualt'\. Did you mean 'default'\?"):
        vaults["defualt"]


WITHOUT_KEY = {"default": {**CONTEXT, "BACKEND": REMOTE, "OPTIONS": {"api_key": None}}}


@pytest.mark.parametrize("key", [None, ""])
@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["makemigrations", "--check", "--dry-run", "django_workos_vault"],
        ["collectstatic", "--noinput", "--dry-run"],
        ["showmigrations"],
        ["migrate", "--plan"],
        ["compilemessages"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.django_db(databases=["default", "other"])
def test_building_needs_no_api_key(
    command: list[str], key: str | None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are built, and messages compiled, where there are no secrets."""
    if command[0] == "compilemessages":
        if shutil.which("msgfmt") is None:
            pytest.skip("no msgfmt here")
        (tmp_path / "locale" / "fr" / "LC_MESSAGES").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
    settings.STATIC_ROOT = tmp_path
    settings.WORKOS_VAULTS = {"default": {**WITHOUT_KEY["default"], "OPTIONS": {"api_key": key}}}
    call_command(*command, verbosity=0)


@pytest.mark.django_db(databases=["default", "other"])
def test_a_missing_key_is_an_error_where_it_is_needed(settings: Any, capsys: Any) -> None:
    """Of check --deploy, of vault_check whatever DEBUG is, and of the first use; with a key, of none."""
    settings.WORKOS_VAULTS = WITHOUT_KEY
    assert ours() == []
    found = {message.id: message for message in ours(include_deployment_checks=True)}
    assert "api_key is missing" in found["django_workos_vault.E190"].msg
    for settings.DEBUG in (False, True):
        with pytest.raises(CommandError, match="found a problem"):
            call_command("vault_check")
        assert "api_key is missing" in capsys.readouterr().out
    with pytest.raises(InvalidVaultConfiguration, match="api_key is missing"), transaction.atomic():
        Person.objects.create(name="A", notes="sealed nowhere")
    assert not Person.objects.exists()
    assert not DataKeyRecord.objects.exists()
    # What the hint says: the environment now has it.
    settings.WORKOS_VAULTS = {"default": {**WITHOUT_KEY["default"], "OPTIONS": {"api_key": "sk_live_x"}}}
    assert "django_workos_vault.E190" not in {m.id for m in ours(include_deployment_checks=True)}


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize("given", ["sk_test_" + "a1" * 8, "clientele", "client_", 5, " client_01"])
@pytest.mark.parametrize("where", ["settings", "environment"])
def test_a_client_id_that_is_none(
    given: Any, where: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W190, wherever it is given; the value, which may be a secret, is not quoted; a client id is fine."""
    if where == "settings":
        settings.WORKOS_CLIENT_ID = given
    else:
        monkeypatch.setenv("WORKOS_CLIENT_ID", str(given))
    (message,) = ours()
    assert message.id == "django_workos_vault.W190"
    assert str(given).strip() not in str(message) or given in ("client_", 5)
    settings.WORKOS_CLIENT_ID = "client_01ABCDEF"  # what the hint says
    assert ours() == []
