"""The README and the pages under docs/ are true because their code blocks are run, in order, page by page.

A ``python`` block is executed in the page's own namespace, with a database: a page can declare a model in
one block, and in the next ones (the table now exists; it is dropped at the end) save a row and ``assert``
what comes back. A ``python`` block that assigns ``WORKOS_VAULTS`` stands for settings.py: with a test API
key in the environment, what it assigns must pass the system checks; then the test run's own vault is back
in force. In a ``sh`` block, every line runs ``manage.py`` and must parse with that command's own parser, and
the cheap commands are run as well; a line that begins with ``python3 -m venv`` is one of the README's
two first commands, which ``.ci/run`` runs. Blocks in other languages (``text``, ``json``, ...) are for
reading only; one without is an error.
"""

import dataclasses
import inspect
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import reversion
from auditlog.registry import auditlog
from django.apps import apps
from django.contrib import admin
from django.core import checks
from django.core.management import BaseCommand, call_command, get_commands, load_command_class
from django.db import connection
from django.test import override_settings
from django.urls import clear_url_caches, path

from django_workos_vault import admin_settings, conf, exceptions
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.conf import entry
from django_workos_vault.keyring.policy import DataKeyPolicy
from tests import urls

CHECKOUT = Path(__file__).resolve().parent.parent
INDEX = CHECKOUT / "docs" / "index.md"
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
#: Pages that begin with an empty directory. tests/test_walkthroughs.py follows them in one.
WALKTHROUGHS = {
    "adopting.md",
    "apis.md",
    "async.md",
    "backups.md",
    "celery.md",
    "deploying.md",
    "incidents.md",
    "leaving.md",
    "moving.md",
    "renaming.md",
    "rotating.md",
    "searching.md",
    "testing.md",
    "tutorial.md",
    "unique.md",
}
RUN_HERE = [page for page in PAGES if page.name not in WALKTHROUGHS]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
ANCHOR = re.compile(r"\]\((?!https?:)([^)#]*)#([^)]+)\)")
OUTSIDE = re.compile(r"\]\((\w+:[^)]*)\)|<(https:[^>]*)>")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
CHEAP_COMMANDS = {"check", "makemigrations", "vault_check"}
FIRST_COMMANDS = "python3 -m venv "


@pytest.fixture
def namespace(
    monkeypatch: pytest.MonkeyPatch, transactional_db: None, settings: Any, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """A page's globals, those of a module of ``tests.app``; models it declares are forgotten afterwards."""
    monkeypatch.setenv("WORKOS_API_KEY", "sk_test_documentation")
    settings.MEDIA_ROOT = tmp_path
    # django-simple-history imports the module that a model says it is in.
    monkeypatch.setitem(sys.modules, "tests.app.page", ModuleType("tests.app.page"))
    known = set(apps.get_models())
    yield {"__name__": "tests.app.page"}
    declared = [model for model in apps.get_models() if model not in known]
    for model in reversed(declared):
        if admin.site.is_registered(model):
            admin.site.unregister(model)
        if reversion.is_registered(model):
            reversion.unregister(model)
        if auditlog.contains(model):
            auditlog.unregister(model)
        with connection.schema_editor() as editor:
            editor.delete_model(model)
        del apps.all_models[model._meta.app_label][model._meta.model_name]
    apps.clear_cache()
    serve_admin()


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.usefixtures("strawberry_clones")
@pytest.mark.parametrize("page", RUN_HERE, ids=[str(page.relative_to(CHECKOUT)) for page in RUN_HERE])
def test_page(page: Path, namespace: dict[str, Any]) -> None:
    """Every block of the page runs."""
    text = page.read_text()
    for match in BLOCK.finditer(text):
        _, language, block = match.groups()
        lines_before = text.count("\n", 0, match.start(3))
        assert language, f"{page.name}:{lines_before}: say which language the block is in"
        block = textwrap.dedent(block)
        if language == "sh":
            for line in block.splitlines():
                run_shell_line(line)
        elif language == "python":
            # Compiled under the page's own name and line numbers, so that a traceback points into the page.
            code = compile("\n" * lines_before + block, page, "exec")
            if re.search(r"^WORKOS_VAULTS\b", block, re.MULTILINE):
                run_settings(code)
            else:
                run_python(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to another file of the repository finds one."""
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_links_lead_to_a_heading(page: Path) -> None:
    """Every link to a section finds it, under the name that code hosts and the site give it."""
    for link, anchor in ANCHOR.findall(page.read_text()):
        assert anchor in anchors(page.parent / link if link else page), f"{link}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_links_to_other_sites_have_a_form(page: Path) -> None:
    """They cannot be followed where there is no network: they are https, to a name, and hold no space."""
    for link in ("".join(found) for found in OUTSIDE.findall(page.read_text())):
        assert re.fullmatch(r"https://[a-z0-9-]+(\.[a-z0-9-]+)+(/[^\s<>()]*)?", link), link


def test_the_index_names_every_page() -> None:
    """A page that ``docs/index.md`` does not name would not be found."""
    named = {(CHECKOUT / "docs" / link).resolve() for link in LINK.findall(INDEX.read_text())}
    assert set(PAGES) - named == {INDEX}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_tests_that_a_page_names_are_there(page: Path) -> None:
    """A page that says which test holds a promise names one that there is."""
    for file, name in re.findall(r"\b(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text()):
        assert (CHECKOUT / file).exists(), file
        assert f"def {name}(" in (CHECKOUT / file).read_text() or not name, name


def anchors(page: Path) -> set[str]:
    """The names of a page's sections: lower case, without punctuation, with hyphens for spaces."""
    text = BLOCK.sub("", page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(text)}


def test_the_table_of_settings_is_whole() -> None:
    """Each setting and option that the code knows has a line, and no line is of one that it does not know."""
    ours = {value for name, value in vars(conf).items() if name in {"SETTING", "DUMP_PLAINTEXT"}}
    ours |= set(re.findall(r'"(WORKOS_VAULT\w*)"', Path(conf.__file__).read_text()))
    policy = {field.name for field in dataclasses.fields(DataKeyPolicy)}
    backends = [*inspect.signature(WorkOSVault).parameters, *inspect.signature(LocalVault).parameters]
    known = ours | entry.OPTIONS | set(admin_settings._KNOWN) | policy | set(backends) - {"transport"}
    page = (CHECKOUT / "docs" / "settings.md").read_text().partition("## Of Django")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == known


def test_the_table_of_errors_is_whole() -> None:
    """Each public error has a line with what to do, and there are no others."""
    page = (CHECKOUT / "docs" / "errors.md").read_text()
    assert sorted(re.findall(r"^\| (?:&nbsp; )*`(\w+)` \|", page, re.MULTILINE)) == exceptions.__all__


def test_the_public_api_is_whole() -> None:
    """Every module that a page imports from is on the page of the public API."""
    imported = re.compile(r"^\s*from (django_workos_vault[\w.]*) import", re.MULTILINE)
    named = {module for page in PAGES for module in imported.findall(page.read_text())}
    api = (CHECKOUT / "docs" / "api.md").read_text()
    assert not [module for module in named if module not in api]


def test_each_threat_names_its_test() -> None:
    """The table of threats says of each attacker which test shows it, or that nothing is done."""
    table = (CHECKOUT / "docs" / "security.md").read_text().split("| --- | --- | --- | --- |\n")[1]
    rows = [row.split(" |") for row in table.partition("\n\n")[0].splitlines()]
    without = [row[0] for row in rows if "tests/" not in row[3]]
    assert len(rows) > 20
    assert len(without) == 4  # the page says so, and why


def test_the_glossary_is_in_order() -> None:
    """A word is found where the alphabet has it."""
    words = re.findall(r"^- \*\*(.+?)\*\*", (CHECKOUT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words, key=str.lower)


OURS = sorted(name for name, app in get_commands().items() if app == "django_workos_vault")


@pytest.mark.parametrize("name", OURS)
def test_every_option_of_a_command_is_told(name: str) -> None:
    """What ``--help`` lists of a command of ours stands on commands.md, or a page that shows the command."""
    texts = {page.name: page.read_text() for page in PAGES}
    pages = [text for page, text in texts.items() if f"manage.py {name}" in text or page == "commands.md"]
    parser = load_command_class("django_workos_vault", name).create_parser("manage.py", name)
    django = BaseCommand().create_parser("manage.py", name)._option_string_actions
    told = {option for option in parser._option_string_actions if option not in django}
    assert not [option for option in told if not any(option in text for text in pages)]


def run_python(code: Any, namespace: dict[str, Any]) -> None:
    known = set(apps.get_models())
    exec(code, namespace)
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            if model not in known:
                editor.create_model(model)
    serve_admin()


def serve_admin() -> None:
    """Django's URLs are made once; a page may register an admin and then look at it."""
    urls.urlpatterns[:] = [path("admin/", admin.site.urls)]
    clear_url_caches()


def run_settings(code: Any) -> None:
    settings: dict[str, Any] = {"BASE_DIR": CHECKOUT}  # as startproject's settings.py has it
    exec(code, settings)
    with override_settings(WORKOS_VAULTS=settings["WORKOS_VAULTS"]):
        found = {message.id for message in checks.run_checks()}
        assert found <= {"django_workos_vault.W160"}  # models of the tests do without the manager


def run_shell_line(line: str) -> None:
    if line.startswith(FIRST_COMMANDS) or not shlex.split(line, comments=True):
        return
    _, found, command = line.partition("manage.py ")
    assert found, f"not a manage.py command: {line}"
    name, *arguments = shlex.split(command, comments=True)
    load_command_class(get_commands()[name], name).create_parser("manage.py", name).parse_args(arguments)
    if name in CHEAP_COMMANDS:
        call_command(name, *arguments)


COMPANIONS = {
    "apis.md": ["Django REST framework", "django-ninja", "django-tables2", "django-filter"],
    "companions.md": [
        "django-auditlog",
        "django-simple-history",
        "django-reversion",
        "django-import-export",
        "FieldTracker",
        "strawberry-django",
        "model_bakery",
        "factory_boy",
        "django-modeltranslation",
        "django-debug-toolbar",
        "Celery",
        "Sentry",
        "django-health-check",
        "Prometheus",
        "OpenTelemetry",
    ],
}


@pytest.mark.parametrize("page", COMPANIONS)
def test_each_companion_has_a_recipe(page: str) -> None:
    """A reader who looks for a package by its name finds a heading, and nothing else is one."""
    text = BLOCK.sub("", (CHECKOUT / "docs" / page).read_text())
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == COMPANIONS[page]
