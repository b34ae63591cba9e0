"""What is true of the repository as a whole, whatever the code does."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command

import django_workos_vault

CHECKOUT = Path(__file__).resolve().parent.parent

# Written in two halves so that this file does not find itself.
NEVER_IN_A_FILE = {
    "a package registry's host": re.compile(rb"py" rb"pi\.org|python" rb"hosted\.org|npm" rb"js\.(org|com)"),
    "a path of somebody's machine": re.compile(rb"(?<![\w.~])/(ho" rb"me|Us" rb"ers|ro" rb"ot|wo" rb"rk)/\w"),
    # "example" is the one that the published API description shows.
    "an API key that is no test key": re.compile(rb"(?<![a-z])sk_(?!te" rb"st_|exam" rb"ple_)\w{16,}"),
}


def repository_files() -> list[Path]:
    """Every file that git tracks or would offer to add; in an unpacked archive, every file of the source."""
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=CHECKOUT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        paths = [CHECKOUT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        folders = ("django_workos_vault", "docs", "example_project", "tests", ".ci")
        paths = [path for folder in folders for path in (CHECKOUT / folder).rglob("*")]
    return [path for path in paths if path.is_file() and path.suffix not in {".pyc", ".sqlite3"}]


@pytest.mark.parametrize("what", NEVER_IN_A_FILE)
def test_no_file_holds(what: str) -> None:
    """No file of the repository names a machine, a package registry, or a key that could be real."""
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}"  # the place alone: a key would be printed otherwise
        for path in repository_files()
        for number, line in enumerate(path.read_bytes().splitlines(), start=1)
        if NEVER_IN_A_FILE[what].search(line)
    ]
    assert not found, f"{what} stands in the repository"


def test_the_search_sees_this_file() -> None:
    """The search above looks at real files: this one is among them."""
    assert Path(__file__).resolve() in repository_files()


def test_no_test_left_anything_at_the_top() -> None:
    """The folders are those that somebody made, and no upload of a page's example is among them."""
    known = {".ci", ".github", "django_workos_vault", "docs", "example_project", "tests"}
    found = {path.relative_to(CHECKOUT).parts for path in repository_files()}
    assert {parts[0] for parts in found if len(parts) > 1} <= known


def test_text_ends_as_editorconfig_says() -> None:
    """Each text file has a newline at its end, and no white space at the end of a line."""
    texts = (".py", ".pyi", ".md", ".toml", ".yml", ".yaml", ".html", ".css", ".js", ".json", ".po")
    for path in repository_files():
        if path.suffix in texts and (text := path.read_text()):
            assert text.endswith("\n"), path
            assert not re.search(r"[ \t]+$", text, re.MULTILINE), path


def test_every_file_can_be_read_at_a_sitting() -> None:
    """No module of the package has more than 300 lines, and none of the tests more than 400."""
    for folder, most in (("django_workos_vault", 300), ("tests", 400)):
        for path in (CHECKOUT / folder).rglob("*.py"):
            lines = len(path.read_text().splitlines())
            assert lines <= most, f"{path.relative_to(CHECKOUT)} has {lines}"


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    """``makemigrations --check`` has nothing to add for the package and the example project."""
    call_command("makemigrations", "django_workos_vault", "clinic", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(databases=["default", "other"])
def test_the_system_check_has_nothing_to_say() -> None:
    """The settings of the test run and every model in it pass Django's checks, warnings included."""
    call_command("check", fail_level="WARNING")


def test_the_workflow_runs_what_the_package_says_it_supports() -> None:
    """Every Python and Django of the classifiers has its place in the matrix, and .ci/run is run whole.

    The matrix may try a newer one, which is not claimed before it was seen to work.
    """
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    workflow = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "ci.yml").read_text())
    matrix = workflow["jobs"]["matrix"]["strategy"]["matrix"]
    for name, prefix in {
        "python": "Programming Language :: Python :: ",
        "django": "Framework :: Django :: ",
    }.items():
        claimed = [line.removeprefix(prefix) for line in project["classifiers"] if line.startswith(prefix)]
        assert claimed
        assert matrix[name][: len(claimed)] == claimed
    everything = workflow["jobs"]["everything"]
    assert {"run": "bash .ci/run"} in everything["steps"]
    sought = set(re.findall(r"/dev/tcp/127\.0\.0\.1/(\d+)", (CHECKOUT / ".ci" / "run").read_text()))
    sought |= {"5432", "3306"}  # as tests/settings.py has them
    given = {port for each in everything["services"].values() for port in each["ports"]}
    assert given == {f"{port}:{port}" for port in sought}


def test_the_version_has_one_source() -> None:
    """The installed version is the one in the package."""
    assert version("django-workos-vault") == django_workos_vault.__version__


def test_every_form_and_hook_is_yaml() -> None:
    """The files that other programs read can be read."""
    paths = [*CHECKOUT.glob(".github/**/*.yml"), CHECKOUT / ".pre-commit-config.yaml"]
    assert len(paths) >= 6
    assert all(isinstance(yaml.safe_load(path.read_text()), dict) for path in paths)


def test_what_the_pages_import_is_named() -> None:
    """Each module that a page imports from says what is for users, and has all that the pages take."""
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").rglob("*.md")]
    imports = re.compile(r"^\s*from (django_workos_vault[\w.]*) import ([\w, ]+|\([^)]+\))", re.MULTILINE)
    for page in pages:
        for module, names in imports.findall(page.read_text()):
            for name in filter(None, re.split(r"[\s,()]+", names)):
                try:
                    import_module(f"{module}.{name}")  # a module of its own
                except ImportError:
                    assert name in import_module(module).__all__, f"{page.name}: {name} of {module}"


@pytest.mark.slow
def test_an_old_python_is_told_so(tmp_path: Path) -> None:
    """The installation ends with one line that says which Python is needed, before pip looks for anything."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [*sorted(pyenv.glob("3.10.*/bin/python")), shutil.which("python3.10")]
    old = next(
        (path for path in candidates if path and subprocess.call([path, "-c", "import venv"]) == 0), None
    )
    if old is None:
        pytest.skip("no Python 3.10 here")
    subprocess.run([old, "-m", "venv", tmp_path], check=True)
    command = [tmp_path / "bin" / "pip", "install", "-q", "-e", f"{CHECKOUT}[demo]"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode
    assert "django-workos-vault needs Python 3.11 or newer, and this is 3.10" in done.stderr
