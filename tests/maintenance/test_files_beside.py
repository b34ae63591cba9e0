"""A run over columns says which files it leaves out, and which command does them."""

import json
from typing import Any

import pytest

from django_workos_vault.files import EncryptedStorage
from django_workos_vault.management.files_beside import commands_for_files
from django_workos_vault.models import MaintenanceRun
from tests.files.models import Scan
from tests.maintenance.reencrypting import failing, people, reencrypt

pytestmark = pytest.mark.django_db(databases="__all__")

FOLDER = "files.FreeFolderFree"
BOTH = [f"manage.py vault_reencrypt {FOLDER}.file", f"manage.py vault_reencrypt {FOLDER}.image"]


def told(*targets: str, **options: Any) -> list[str]:
    document = json.loads(reencrypt(*targets, format="json", **options))
    left_out: list[str] = document["left_out"]
    lines = reencrypt(*targets, **options).splitlines()
    if left_out:
        at = lines.index("Files are left out: each file field has a command of its own.")
        assert lines[at + 1 : at + 1 + len(left_out)] == left_out
    else:
        assert not any("Files" in line for line in lines)
    return left_out


@pytest.mark.parametrize("how", [{}, {"plan": True}, {"dry_run": True}], ids=str)
def test_a_model_an_app_and_everything(how: dict[str, bool]) -> None:
    """In text and in JSON. Whoever asked what a run would do is given no command that does it."""
    too = "".join(f" --{each.replace('_', '-')}" for each in how)
    both = [each + too for each in BOTH]
    assert told(FOLDER, **how) == both
    assert set(both) < set(told("files", **how))
    assert told("app.Person", f"{FOLDER}.char", **how) == []
    people(1)
    if how:
        everything = told(all=True, **how)
        assert {*both, f"manage.py vault_reencrypt files.Scan.file{too}"} < set(everything)


def test_a_status_says_so_too() -> None:
    """Whoever looks at the run, or takes it up, reads the same."""
    reencrypt(FOLDER)
    run = MaintenanceRun.objects.get()
    assert json.loads(reencrypt(status=run.pk, format="json"))["left_out"] == BOTH
    assert BOTH[1] in reencrypt(status=run.pk)


def test_what_is_done_to_the_columns_is_done_to_the_files() -> None:
    """The commands take the options along that mean the same for files."""
    assert told(FOLDER, rekey=True, database="default") == [
        f"{each} --rekey --database default" for each in BOTH
    ]
    bound = "files.BoundFolderBound"
    assert told(bound, where="organization_id=an org")[0] == (
        f"manage.py vault_reencrypt {bound}.file --where 'organization_id=an org'"
    )
    assert told("files.BoundFolderFree", where="organization_id=org_1") == []
    assert told(FOLDER, operation="reindex") == []


def test_a_model_that_has_files_alone() -> None:
    """The error names their command; a file field beside other targets is named by itself."""
    for targets in (["files.Scan"], ["app.Person", "files.Scan.file"]):
        error, _ = failing(*targets)
        assert "names no encrypted column" in str(error)
        assert str(error).endswith("manage.py vault_reencrypt files.Scan.file")


def test_files_in_an_encrypted_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no command for them, which is told as well, where somebody could believe that all is done."""
    monkeypatch.setattr(Scan._meta.get_field("plain"), "storage", EncryptedStorage("default"))
    line = "# files.Scan.plain: no command does that in an EncryptedStorage; save each of its files again"
    people(1)
    assert line in told(all=True)
    assert line in told(all=True, rekey=True)
    assert line not in told("app.Person")
    where = {"where": "organization_id=org_1", "database": None, "plan": False, "dry_run": False}
    assert line not in commands_for_files(["files"], "reseal", where)
    assert line in commands_for_files(["files"], "reseal", {**where, "where": None})
