"""Keys in files: what git has, what it would take, and what there is without git."""

import json
import os
import shlex
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes, token_hex
from shutil import which
from sysconfig import get_path
from typing import Any

import pytest
import yaml
from django.core.management import CommandError, call_command

from django_workos_vault import vaults
from django_workos_vault.exposed_keys import is_key_file
from django_workos_vault.maintenance.inspection.tracked_files import inspect_tracked_files

CHECKOUT = Path(__file__).resolve().parents[2]
#: made here, so that no file of this repository holds what looks like one
SECRET = "sk_li" + f"ve_{token_hex(16)}"
KEY_FILE = b64encode(token_bytes(32)).decode() + "\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=environment)
    return tmp_path


def track(checkout: Path, name: str, content: str) -> None:
    (checkout / name).write_text(content)
    subprocess.run(["git", "-C", checkout, "add", "-f", name], check=True)


def found(directory: Path, *known: Any) -> list[tuple[str, str]]:
    return [(each.status, each.subject) for each in inspect_tracked_files(directory, frozenset(), *known)]


def test_api_key_in_a_tracked_file(checkout: Path) -> None:
    """A literal key is told by file and line, never quoted; what only looks like one is not told."""
    track(checkout, "settings.py", f"import os\nKEY = '{SECRET}'\n")
    track(checkout, "other.py", f"sk_{'model_directory_name'} = 'sk_test_XXXXXXXXXXXXXXXXXXXX'\n")
    (finding,) = inspect_tracked_files(checkout, frozenset())
    assert (finding.status, finding.subject) == ("problem", "settings.py:2")
    assert "sk_live_..." in finding.message
    assert "Revoke the key" in finding.advice
    assert SECRET not in repr(finding)
    assert SECRET[8:14] not in repr(finding)


def test_the_configured_key_is_found_whatever_it_looks_like(checkout: Path) -> None:
    """A short made-up key in settings.py is a literal key too."""
    track(checkout, "settings.py", 'OPTIONS = {"api_key": "sk_test_abc"}\n')
    (finding,) = inspect_tracked_files(checkout, {sha256(b"sk_test_abc").digest()})
    assert finding.status == "problem"
    (finding,) = inspect_tracked_files(checkout, frozenset())
    assert finding.status == "ok"


@pytest.mark.parametrize("content", [f"KEY={SECRET}\n", KEY_FILE], ids=["API key", "key file"])
@pytest.mark.parametrize("where", ["tracked", "untracked", "ignored", "tracked though ignored"])
def test_what_git_has_and_would_take(checkout: Path, where: str, content: str) -> None:
    """A file that git ignores is where keys belong; any other is found, before the commit too."""
    if "ignored" in where:
        track(checkout, ".gitignore", "secrets*\n")
    if where.startswith("tracked"):
        track(checkout, "secrets", content)
    (checkout / "secrets").write_text(content)
    findings = list(inspect_tracked_files(checkout, frozenset()))
    if where == "ignored":
        assert [each.status for each in findings] == ["ok"]
        return
    (finding,) = findings
    assert finding.status == "problem"
    assert finding.subject.partition(":")[0] == "secrets"
    is_late = where.startswith("tracked")
    assert (finding.advice.startswith(("Revoke", "Whoever"))) == is_late
    assert content.strip() not in repr(finding)


def test_a_key_file_that_looks_like_anything(checkout: Path) -> None:
    """The one that is configured is found by its path, also through a link."""
    track(checkout, "vault.key", "no base64, no 32 bytes")
    assert found(checkout) == [("ok", str(checkout))]
    assert found(checkout, [checkout / "vault.key"]) == [("problem", "vault.key")]
    (checkout / "link").symlink_to(checkout / "vault.key")
    assert ("problem", "vault.key") in found(checkout, [checkout / "link"])


def test_what_a_local_vault_writes_is_found(tmp_path: Path, settings: Any) -> None:
    """The real file of a real vault; other short files are none."""
    path = tmp_path / "vault.key"
    backend = "django_workos_vault.backends.local.LocalVault"
    settings.WORKOS_VAULTS = {"default": {"BACKEND": backend, "OPTIONS": {"key_file": path}}}
    vaults["default"].create_data_key({"app": "tests"}).wipe()
    assert is_key_file(path)
    for content in ["", "x" * 44, b64encode(bytes(31)).decode(), KEY_FILE * 2, "sha256:" + KEY_FILE]:
        path.chmod(0o600)
        path.write_text(content)
        assert not is_key_file(path)


def test_without_git(tmp_path: Path) -> None:
    """In an image, or an unpacked archive: the code is looked at, and not the environment's packages."""
    assert found(tmp_path) == [("ok", str(tmp_path))]
    for folder in ("site", "venv/lib", "node_modules/x", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "settings.py").write_text(f"KEY = '{SECRET}'\n")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / ".env").write_text(f"WORKOS_API_KEY={SECRET}\n")
    assert found(tmp_path) == [("problem", "site/settings.py:1")]
    (finding,) = inspect_tracked_files(tmp_path, frozenset())
    assert "whoever gets a copy of the code" in finding.advice


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in most images: that is said, and nothing is wrong."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = inspect_tracked_files(tmp_path, frozenset())
    assert finding.status == "ok"
    assert "git is not installed" in finding.message


def config_on_the_page() -> str:
    page = (CHECKOUT / "docs" / "commands.md").read_text()
    return page.partition("```yaml\n")[2].partition("```")[0]


@pytest.mark.skipif(not which("pre-commit"), reason="pre-commit is not installed")
def test_the_config_on_the_page(checkout: Path) -> None:
    """With pre-commit itself, as docs/commands.md has it: a commit with a key is refused, another is made."""
    (checkout / ".pre-commit-config.yaml").write_text(config_on_the_page())
    (checkout / "bin").mkdir()
    (checkout / "bin" / "python").symlink_to(sys.executable)
    paths = f"{checkout / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}:{get_path('purelib')}", "PATH": paths}

    def run(*command: str) -> Any:
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=environment)

    assert run("pre-commit", "install").returncode == 0
    for name, text, status in (("fine.py", "KEY = None\n", 0), ("settings.py", f"KEY = '{SECRET}'\n", 1)):
        (checkout / name).write_text(text)
        assert run("git", "add", name).returncode == 0
        done = run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", name)
        assert done.returncode == status, done.stderr
    assert "settings.py:1: an API key (sk_live_...) stands here" in done.stderr + done.stdout


@pytest.mark.slow
def test_the_hook_before_a_commit(checkout: Path) -> None:
    """The hook's own entry, over the names that pre-commit gives: one line for each key, and status 1."""
    (hook,) = yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text())
    [shown] = yaml.safe_load(config_on_the_page())["repos"][0]["hooks"]
    assert shown["entry"] == hook["entry"]
    program, *rest = shlex.split(hook["entry"])
    assert program == "python"
    (checkout / "settings.py").write_text(f"\nKEY = '{SECRET}'\n")
    (checkout / "vault.key").write_text(KEY_FILE)
    (checkout / "fine.py").write_text("KEY = os.environ['WORKOS_API_KEY']\n")

    def run(*names: str) -> Any:
        command = [sys.executable, *rest, *names]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=environment)

    done = run("fine.py", "settings.py", "vault.key", "deleted.py")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "settings.py:2: an API key (sk_live_...) stands here. Read it from the environment.",
        "vault.key: the key file of a local vault, which opens what it sealed. Have git ignore it.",
    ]
    done = run("fine.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.django_db(databases=["default", "other"])
@pytest.mark.parametrize(
    ("broken", "status", "ok"),
    [
        ({}, None, True),
        ({"WORKOS_CLIENT_ID": "clientele"}, 3, False),
        ({"WORKOS_CLIENT_ID": "clientele", "WORKOS_VAULTS": {}}, 1, False),
        ({"WORKOS_VAULTS": None}, 1, False),
        ({"WORKOS_VAULTS": {"default": None}}, 1, False),
        ({"WORKOS_VAULTS": {"default": {"OPTIONS": {"api_key": 5, "key_file": 7}}}}, 1, False),
    ],
)
def test_exit_status(
    broken: dict[str, Any], status: int | None, ok: bool, settings: Any, capsys: Any
) -> None:
    """0 when all is well, 1 with a problem, 3 with warnings alone; JSON is not ok in either."""
    for name, value in broken.items():
        setattr(settings, name, value)
    try:
        call_command("vault_check", "--format", "json")
        returned = None
    except CommandError as exc:
        returned = exc.returncode
    assert returned == status
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is ok
    statuses = {each["status"] for each in report["findings"]}
    assert ("warning" in statuses) == ("WORKOS_CLIENT_ID" in broken)
    assert ("problem" in statuses) == (status == 1)
