"""``vault_forget`` killed with -9 at any moment: another run ends it, and nobody else loses anything."""

import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.fields import stored_cell
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from tests.app.models import Contract
from tests.maintenance.forgetting.forgetting import contract, customer, opens, seal_everything
from tests.maintenance.processes import in_databases_of_test

pytestmark = [pytest.mark.slow, pytest.mark.django_db(databases="__all__", transaction=True)]

#: Counts what it asks of the databases and of Vault, before and after, and dies at one of these moments.
COMMAND = """
    import ast, os, signal, sys
    from django.conf import settings
    settings.WORKOS_VAULTS, context, last = ast.literal_eval(sys.argv[1])
    import django
    django.setup()
    from django.core.management import call_command
    from django.db.backends.signals import connection_created
    from django_workos_vault.backends.local import LocalVault
    moments = 0

    def passed():
        global moments
        moments += 1
        if moments == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def noting(ask, *args):
        passed()
        answer = ask(*args)
        passed()
        return answer

    def watch(connection, **kwargs):
        connection.execute_wrappers.append(noting)

    call = LocalVault.call
    LocalVault.call = lambda *args: noting(call, *args)
    connection_created.connect(watch)
    call_command("vault_forget", context, yes=True, verbosity=0)
    print(moments, file=sys.stderr)
"""


class Customer:
    """One with keys, rows, files and objects, and what is left of them."""

    def __init__(self, workos_id: str) -> None:
        organization = customer(workos_id)
        self.context = {"organization_id": workos_id}
        self.rows = seal_everything(organization)
        for _ in range(2):
            vaults["default"].rotate(self.context)
        self.rows += seal_everything(organization)
        self.contracts = [contract(organization) for _ in range(3)]
        self.columns = self.stored()

    def stored(self) -> list[Any]:
        """Return what the columns hold: cells, and names of files."""
        fresh = [(type(row).objects.get(pk=row.pk), name) for row, name in self.rows]
        return [row.file.name if name == "file" else stored_cell(row, name) for row, name in fresh]

    def keys(self) -> int:
        return DataKeyRecord.objects.filter(vault="default", key_context=self.context).count()

    def objects(self) -> int:
        vault = vaults["default"].backend
        found = [vault.describe_object(each.id) for each in vault.iter_objects(limit=100)]
        return sum(each.metadata.context == self.context for each in found)

    def is_whole(self) -> bool:
        return (
            (self.keys(), self.objects(), self.stored()) == (3, 3, self.columns)
            and all(opens(*each) for each in self.rows)
            and all(Contract.objects.get(pk=each.pk).terms == "forever" for each in self.contracts)
        )

    def is_forgotten(self) -> bool:
        """Whether all is as it is after a run to which nothing happened."""
        files = [name == "file" for _, name in self.rows]
        opened = [opens(*each) for each in self.rows]
        return (self.keys(), self.objects(), self.stored(), opened) == (0, 0, self.columns, files)


class Clinic:
    """A customer to be forgotten beside another, with a vault of their own for the sake of its root key."""

    def __init__(self, number: int, folder: Path) -> None:
        self.context = f"organization_id=org_{number}"
        local = {"BACKEND": "django_workos_vault.backends.local.LocalVault"}
        declared: dict[str, Any] = {
            alias: {
                **local,
                "KEY_CONTEXT": context,
                "DATA_KEYS": {"envelope": "reference"},
                "OPTIONS": {"master_key": bytes(32), "objects_file": str(folder / f"{alias}{number}")},
            }
            for alias, context in {
                "default": {"app": "tests"},
                "theirs": {"organization_id": f"org_{number}"},
            }.items()
        }
        self.declared = repr(declared)  # of settings, secrets are asterisks in a repr
        self.settings = override_settings(WORKOS_VAULTS=declared)
        with self.settings:
            self.mine, self.other = Customer(f"org_{number}"), Customer(f"other_{number}")
            vaults["theirs"].rotate(self.mine.context)
            vaults["theirs"].index_keys.key(1, b"an index")

    def forget(self, last: int = 0) -> tuple[int, str]:
        """Run the command in a process that is killed at its moment ``last``, if it is not 0."""
        argument = f"{self.declared}, {self.context!r}, {last}"
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(COMMAND), argument],
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr

    def check_forgotten(self) -> None:
        with self.settings:
            assert self.mine.is_forgotten()
            assert self.other.is_whole()
            assert not DataKeyRecord.objects.filter(vault="theirs").exists()
            assert not IndexKeyRecord.objects.filter(vault="theirs").exists()


def check_killed(last: int, clinic: Clinic) -> str:
    """Kill a run at its moment ``last``, and run it again; return what was left between the two."""
    assert clinic.forget(last)[0] == -signal.SIGKILL
    with clinic.settings:
        keys, objects = clinic.mine.keys(), clinic.mine.objects()
        assert keys in (0, 3)
        assert objects == 3 or not keys
        assert clinic.other.is_whole()
    status, told = clinic.forget()
    assert status == 0, told
    clinic.check_forgotten()
    return f"{keys} keys and {objects} objects"


def test_killed_at_random_moments(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    """The keys are all there or none, and the next run leaves what a run leaves to which nothing happened."""
    in_databases_of_test(monkeypatch)
    monkeypatch.setenv("VAULT_TEST_MEDIA_OF_PARENT", str(settings.MEDIA_ROOT))
    whole = Clinic(0, tmp_path)
    status, told = whole.forget()
    assert status == 0, told
    whole.check_forgotten()
    moments = int(told)
    kills = [random.randint(1, moments - 20), *random.sample(range(moments - 20, moments), 3)]
    for number, last in enumerate(kills, 1):
        check_killed(last, Clinic(number, tmp_path))
