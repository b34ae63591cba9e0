"""A project of its own on the disk, for what needs models that change and migrations that are written."""

import multiprocessing
import os
import runpy
import shutil
import sys
import warnings
from multiprocessing.reduction import DupFd
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from django.conf import settings

import django_workos_vault

CHECKOUT = Path(__file__).resolve().parent.parent

#: Each command is a process of its own, forked from one that has Django and this package imported already
#: and nothing set up: half a second less than to begin anew, a hundred times.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        "__main__",
        "django.core.management.commands.makemigrations",
        "django.core.management.commands.migrate",
        "django.db.backends.sqlite3.base",
        "django_workos_vault.backends.local",
        "django_workos_vault.checks",
        "django_workos_vault.cipher",
        "django_workos_vault.conf",
        "django_workos_vault.keyring.ring",
        "tests.project",
    ]
)

_SETTINGS = """
SECRET_KEY = "tests only"
INSTALLED_APPS = ["django_workos_vault", {apps}]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {database!r}}}}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
WORKOS_VAULTS = {{
    "default": {{
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {{"app": "tests"}},
        "OPTIONS": {{"master_key": b"tests only: this is not a secret"}},
    }},
}}
"""

_IMPORTS = """
import uuid

from django.db import models
from django_workos_vault.fields import *
from django_workos_vault.indexes import *
"""


class Project:
    """One app, ``clinic``, in a directory that is a Django project on SQLite."""

    def __init__(self, path: Path, *apps: str, settings: str = "") -> None:
        self.path = path
        self.migrations = path / "clinic" / "migrations"
        self._settings = settings
        self._apps = ", ".join(map(repr, (*apps, "clinic")))
        if not self.migrations.exists():
            self.migrations.mkdir(parents=True)
            (path / "clinic" / "__init__.py").touch()
            (self.migrations / "__init__.py").touch()
            self.use_database("first")

    def copy(self, path: Path) -> "Project":
        """Return this project as it is, in another directory."""
        shutil.copytree(self.path, path, dirs_exist_ok=True)
        return Project(path)

    def use_database(self, name: str) -> None:
        """Use another database; a new one is empty."""
        database = f"{name}.sqlite3"
        (self.path / "settings.py").write_text(
            _SETTINGS.format(apps=self._apps, database=database) + self._settings
        )

    def models(self, source: str) -> None:
        """Replace the app's models."""
        (self.path / "clinic" / "models.py").write_text(_IMPORTS + source)

    def write_migration(self, name: str, source: str) -> None:
        """Write a migration file by hand."""
        (self.migrations / f"{name}.py").write_text(source)

    def migration(self, number: int) -> str:
        """Return the source of the migration with this number."""
        [path] = self.migrations.glob(f"{number:04}_*.py")
        return path.read_text()

    def manage(self, *arguments: str, answers: str = "", status: int = 0) -> str:
        """Run a command, answer its questions, return what it prints. It must fail if ``status`` is not 0."""
        return self._run(["-m", "django", *arguments], answers, status)

    def python(self, source: str) -> str:
        """Run ``source`` with the project's models at hand; return what it prints."""
        head = "import django; django.setup(); from clinic.models import *\n"
        return self._run(["-c", head + source], "", 0)

    def _run(self, arguments: list[str], answers: str, status: int) -> str:
        with TemporaryFile() as asked, TemporaryFile() as said:
            asked.write(answers.encode())
            asked.seek(0)
            package = Path(django_workos_vault.__file__).parent
            environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings"}
            process = _PROCESSES.Process(
                target=_be_python,
                args=(
                    package,
                    DupFd(asked.fileno()),
                    DupFd(said.fileno()),
                    arguments,
                    self.path,
                    environment,
                ),
            )
            process.start()
            process.join()
            said.seek(0)
            text = said.read().decode()
        assert (process.exitcode != 0) == (status != 0), text
        return text


def _be_python(
    package: Path, asked: Any, said: Any, arguments: list[str], path: Path, environment: dict[str, str]
) -> None:
    """Go on as ``python -B -W ignore`` would, started with ``arguments`` in the directory ``path``."""
    assert not settings.configured
    assert Path(django_workos_vault.__file__).parent == package  # that server finds modules by itself
    os.dup2(asked.detach(), 0)
    os.dup2(said.detach(), 1)
    os.dup2(1, 2)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(path)
    sys.path[:0] = [str(path), str(CHECKOUT)]
    sys.dont_write_bytecode = True
    warnings.simplefilter("ignore")
    option, source, *rest = arguments
    sys.argv = [option, *rest]
    if option == "-m":
        runpy.run_module(source, run_name="__main__", alter_sys=True)
    else:
        exec(source, {"__name__": "__main__"})
    sys.stdout.flush()
