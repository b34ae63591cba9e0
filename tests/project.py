"""A project of its own on the disk, for what needs models that change and migrations that are written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

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
        done = subprocess.run(
            [sys.executable, "-B", "-W", "ignore", *arguments],
            input=answers,
            capture_output=True,
            text=True,
            cwd=self.path,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "settings",
                "PYTHONPATH": f"{self.path}{os.pathsep}{CHECKOUT}",
            },
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == (status != 0), said
        return said
