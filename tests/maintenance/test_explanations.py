"""``vault_check --explain``: the page of a check, an error or a topic, from what is installed."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

import django_workos_vault
from django_workos_vault import exceptions
from django_workos_vault.management.explanations import NothingSaid, explain

PACKAGE = Path(django_workos_vault.__file__).parent
DOCS = PACKAGE.parent / "docs"
IDS = re.findall(r"^### django_workos_vault\.([EW]\d{3})$", (DOCS / "checks.md").read_text(), re.MULTILINE)
ERRORS = [
    name
    for name, kind in vars(exceptions).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == exceptions.__name__
]


def strings_of_the_package() -> list[tuple[str, str]]:
    """Every text in the code that is no docstring, by file; the parts of an f-string joined."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docstrings = {
            node.body[0].value
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                found.append((path.name, "".join(parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
                found.append((path.name, node.value))
    return found


@pytest.mark.parametrize("number", IDS)
def test_every_check(number: str) -> None:
    """By its number or its whole id, in any case: its section, and no other check's."""
    said = explain(number)
    assert said.startswith(f"### django_workos_vault.{number}\n")
    assert said.count("### django_workos_vault.") == 1
    assert len(said) > 60
    assert explain(f"django_workos_vault.{number.lower()}") == said


@pytest.mark.parametrize("name", ERRORS)
def test_every_error(name: str) -> None:
    """What it is, and what the table of errors says to do."""
    said = explain(name)
    assert said.startswith(name)
    assert f"\n\n{name}\n  " in said
    assert explain(name.lower()) == said


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_every_page(path: Path) -> None:
    """A page by its name is the whole page; without a topic, all are listed."""
    assert explain(path.stem) == explain(path.name) == path.read_text().strip()
    assert f"\n  {path.stem} " in explain("")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("rate_limit_store", "a Redis address"), ("cache_ttl", "5 minutes"), ("Companions", "W110")],
)
def test_settings_and_headings(wanted: str, said: str) -> None:
    """The row of a settings table, and sections by their heading."""
    assert said in explain(wanted)


@pytest.mark.parametrize(
    ("wanted", "nearest"), [("serching", "searching"), ("E999", ""), ("VaultUnavailble", "vaultunavailable")]
)
def test_what_no_page_has(wanted: str, nearest: str) -> None:
    """What comes nearest is named."""
    with pytest.raises(NothingSaid, match=f"{wanted}.*{nearest}"):
        explain(wanted)


def test_the_command_needs_nothing_that_is_right(capsys: Any) -> None:
    """Broken settings are what one asks it about; no vault and no database is asked."""
    with override_settings(WORKOS_VAULTS=None):
        call_command("vault_check", "--explain", "E010")
        assert "### django_workos_vault.E010" in capsys.readouterr().out
        call_command("vault_check", "--explain")
        assert "searching" in capsys.readouterr().out
        with pytest.raises(CommandError, match="No page speaks of 'zzz'"):
            call_command("vault_check", "--explain", "zzz")


def test_messages_name_what_an_installation_has() -> None:
    """No error, hint or advice names a file of the checkout; what it says to explain can be explained."""
    strings = strings_of_the_package()
    assert len(strings) > 1000
    assert not [each for each in strings if re.search(r"docs/[\w-]+\.md|README", each[1])]
    topics = {topic for _, text in strings for topic in re.findall(r"--explain ([\w-]+)", text)}
    assert len(topics) > 5
    for topic in topics:
        assert explain(topic)


def test_every_reason_why_a_cell_is_left() -> None:
    """The page that a run with cells left points to has each of them."""
    table = (DOCS / "commands.md").read_text().partition("| reason |")[2].partition("\n\n")[0]
    told = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    of_code = {
        name
        for path in (PACKAGE / "maintenance" / "operations").glob("*.py")
        for name in re.findall(r'CannotOpen\(\s*"(\w+)"', path.read_text())
    }
    assert of_code > {"KeyInRegistry", "ValuesDiffer"}
    of_vault = {"VaultPermissionDenied", "VaultRequestError", "UndeclaredKeyContext", "VaultContextMismatch"}
    of_rows = {"MissingKeyContext", "InvalidVaultConfiguration", "VaultUnavailable"}
    of_cells = {kind.__name__ for kind in exceptions.EnvelopeError.__subclasses__()} - {"UntrustedReference"}
    assert told >= of_code | of_vault | of_rows | of_cells
