"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "CONTRIBUTING.md").read_text()
SECTIONS = {section.partition("\n")[0]: section for section in PAGE.split("\n## ")[1:]}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"(?:#|<!--) (\S+), (at the end|before each|after each|instead of)(?:: (.*?))?(?: -->)?\n")
PYTEST = ".venv/bin/python -m pytest "
RECIPES = [title for title in SECTIONS if title.startswith("Add ")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The checkout as git has it, without its history, and with what is not committed yet."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"]
    files = subprocess.run(
        listing, cwd=CHECKOUT, capture_output=True, check=True, text=True
    ).stdout.splitlines()
    for name in files:
        if (CHECKOUT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, tmp_path / name)
    return tmp_path


def put(block: str, checkout: Path) -> None:
    """Put a block where its first line says."""
    place = PLACE.match(block)
    assert place, f"no place in {block}"
    file, where, line_begins = checkout / place[1], place[2], place[3]
    new = block[place.end() :]
    if where == "at the end":
        had = file.read_text() + "\n\n" if file.exists() else ""
        file.write_text(had + new)
        return
    lines = file.read_text().splitlines(keepends=True)
    assert any(line.startswith(line_begins) for line in lines), f"{file.name} has no line {line_begins!r}"
    file.write_text(
        "".join(_placed(line, new, where) if line.startswith(line_begins) else line for line in lines)
    )


def _placed(line: str, new: str, where: str) -> str:
    return {"before each": new + line, "after each": line + new, "instead of": new}[where]


def run(command: str, checkout: Path) -> None:
    """Run a pytest command of the page, with this Python and SQLite."""
    assert command.startswith(PYTEST)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VAULT_"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *shlex.split(command.removeprefix(PYTEST))],
        cwd=checkout,
        env={**kept, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_works(title: str, copy: Path) -> None:
    """What a recipe says is enough: its own last command, which is of tests, succeeds."""
    commands = []
    for language, block in BLOCK.findall(SECTIONS[title]):
        if language == "sh":
            commands += block.splitlines()
        else:
            put(block, copy)
    assert commands
    for command in commands:
        run(command, copy)


@pytest.mark.skipif(shutil.which("msgmerge") is None, reason="needs GNU gettext")
def test_the_commands_for_translators_change_nothing_but_the_date(copy: Path) -> None:
    """Whoever adds a string gets a difference that shows this string."""
    package = copy / "django_workos_vault"
    made = sorted(package.rglob("django.po"))
    before = [path.read_text() for path in made]
    commands = re.findall(r"`django-admin (.*?)`", SECTIONS["Say something to a user"])
    assert [command.split()[0] for command in commands] == ["makemessages", "compilemessages"]
    for command in commands:
        run = [sys.executable, "-m", "django", *shlex.split(command)]
        subprocess.run(run, cwd=package, env={**os.environ, "PYTHONPATH": str(copy)}, check=True)
    dated = re.compile('^"POT-Creation-Date:.*\n', re.MULTILINE)
    assert made
    assert [dated.sub("", path.read_text()) for path in made] == [dated.sub("", text) for text in before]


def test_one_test_runs() -> None:
    """The command that shows how to run one test runs some."""
    _, block = next(BLOCK.finditer(SECTIONS["Run one test, run everything"])).groups()
    run(block.splitlines()[0], CHECKOUT)


def test_what_the_page_names_is_there() -> None:
    """Files and directories that the page names, and what its commands run, exist."""
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    paths = re.findall(r"`([\w/.-]+\.(?:py|md|toml)|\.ci/run)`", PAGE)
    for name in [*links, *paths]:
        assert any((CHECKOUT / root / name).exists() for root in ("", "django_workos_vault")), name
