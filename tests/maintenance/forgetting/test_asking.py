"""``vault_forget`` is asked right, asks back, and changes nothing before it was told to."""

import io
import sys
from contextlib import nullcontext
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.models import DataKeyRecord
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    customer,
    failing,
    forget,
    opens,
    seal_everything,
    vault_of,
)

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.mark.parametrize("items", [["organization_id"], ["=x"], ["organization_id="], ["a=b", "a=c"]])
def test_what_is_no_context_is_one_line(items: list[str]) -> None:
    """Nothing is guessed."""
    error, out = failing(*items)
    assert "\n" not in str(error)
    assert not out
    assert "no vault 'nowhere'" in str(failing(CONTEXT, vault="nowhere")[0])


def test_a_plan_changes_nothing() -> None:
    """It needs nobody's consent, names the keys and the columns, and asks Vault to delete nothing."""
    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        out = StringIO()
        call_command("vault_forget", CONTEXT, plan=True, stdout=out)
        assert "1 wrapped data keys in the registry" in out.getvalue()
        assert "1 of app.Patient.ssn refer to them" in out.getvalue()
        assert "Nothing was changed." in out.getvalue()
        assert all(opens(*each) for each in rows)
        assert "done" not in forget(CONTEXT, plan=True, yes=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "destroyed"), [(CONTEXT, True), ("yes", False), ("", False)])
def test_it_asks_before_it_acts(monkeypatch: pytest.MonkeyPatch, typed: str, destroyed: bool) -> None:
    """The key context is to be typed again; anything else, or the end of input, changes nothing."""
    with vault_of("reference"):
        seal_everything(customer("org_1"))
        monkeypatch.setattr(sys, "stdin", Terminal(f"{typed}\n" if typed else ""))
        out = StringIO()
        with nullcontext() if destroyed else pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
            call_command("vault_forget", CONTEXT, stdout=out)
        plan, asked, _ = out.getvalue().partition("This cannot be undone.")
        assert asked
        assert "To be destroyed:" in plan
        assert DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"}).exists() != destroyed


class InterruptedWhileListing(LocalVault):
    """Somebody presses Ctrl-C while Vault is asked for its objects."""

    def list_objects(self, *args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["asked", "planning"])
def test_an_interrupt_before_anything_is_destroyed(monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Ctrl-C at the question, or while it looks around, ends with one line and status 130."""

    class Interrupting(Terminal):
        def readline(self, *args: Any) -> str:
            raise KeyboardInterrupt

    with vault_of("reference"):
        rows = seal_everything(customer("org_1"))
        monkeypatch.setattr(sys, "stdin", Interrupting())
    backend = {"BACKEND": f"{__name__}.InterruptedWhileListing"} if when == "planning" else {}
    message = r"^Interrupted\. Nothing was changed\.$"
    with vault_of("reference", **backend), pytest.raises(CommandError, match=message) as caught:
        call_command("vault_forget", CONTEXT, stdout=StringIO())
    assert caught.value.returncode == 130
    with vault_of("reference"):
        assert all(opens(*each) for each in rows)


def test_without_a_terminal_it_needs_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can be asked by cron."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(CONTEXT))
    with pytest.raises(CommandError, match="Look at --plan, then add --yes"):
        call_command("vault_forget", CONTEXT)
