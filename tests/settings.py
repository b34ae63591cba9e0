"""Settings of the test run: no service is needed unless one is asked for.

``VAULT_TEST_DATABASE`` picks the database: ``sqlite`` (the default), ``postgresql`` or ``mariadb``.
A server is looked for on 127.0.0.1, or where its own clients' variables point: ``PGHOST``, ``PGPORT``,
``PGUSER``, ``PGPASSWORD``; ``MYSQL_HOST``, ``MYSQL_TCP_PORT``, ``MYSQL_USER``, ``MYSQL_PWD``.
``VAULT_TEST_DATABASE_NAME`` names the database to create there, so that two runs can share a server.
``VAULT_TEST_USE_TZ=0`` runs everything as a project without time zones does.
"""

import atexit
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pymysql

# Django's MySQL backend asks for mysqlclient, which has no binary wheels for Linux. PyMySQL from 1.2 on
# announces an interface version that Django 5.2 to 6.1 accept.
pymysql.install_as_MySQLdb()


def sqlite(alias: str) -> dict[str, Any]:
    """A file, not memory: threads and processes then lock it the way they do in production."""
    path = Path(tempfile.mkdtemp(prefix="vault_test_"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path / f"{alias}.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
        },
        "TEST": {"NAME": path / f"test_{alias}.sqlite3"},
    }


def postgresql(alias: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("PGHOST", "127.0.0.1"),
        "PORT": os.environ.get("PGPORT", "5432"),
        "USER": os.environ.get("PGUSER", "postgres"),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
        "NAME": "postgres",
        "TEST": {"NAME": server_database_name(alias)},
    }


def mariadb(alias: str) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.mysql",
        "HOST": os.environ.get("MYSQL_HOST", "127.0.0.1"),
        "PORT": os.environ.get("MYSQL_TCP_PORT", "3306"),
        "USER": os.environ.get("MYSQL_USER", "root"),
        "PASSWORD": os.environ.get("MYSQL_PWD", ""),
        "NAME": "",
        "OPTIONS": {"charset": "utf8mb4"},
        "TEST": {"NAME": server_database_name(alias), "CHARSET": "utf8mb4"},
    }


def server_database_name(alias: str) -> str:
    name = os.environ.get("VAULT_TEST_DATABASE_NAME", "test_workos_vault")
    return name if alias == "default" else f"{name}_{alias}"


make_database = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}[
    os.environ.get("VAULT_TEST_DATABASE", "sqlite")
]
# Other people's migrations have had their tests: what they lead to is made at once. Ours are gone through.
MIGRATION_MODULES = dict.fromkeys(["admin", "auditlog", "auth", "contenttypes", "reversion", "sessions"])
DATABASES = {alias: make_database(alias) for alias in ("default", "other")}
for alias, name in json.loads(os.environ.get("VAULT_TEST_DATABASES_OF_PARENT", "{}")).items():
    DATABASES[alias]["NAME"] = name  # a worker process of a test uses the databases of the test

MEDIA_ROOT = os.environ.get("VAULT_TEST_MEDIA_OF_PARENT", "")  # files of such a test

SECRET_KEY = "tests only"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "auditlog",
    "django_tables2",
    "django_workos_vault",
    "example_project",
    "import_export",
    "reversion",
    "simple_history",
    "strawberry_django",
    "tests.app",
    "tests.companions",
    "tests.files",
    "tests.renamed",
]
if "VAULT_TEST_DATABASES_OF_PARENT" in os.environ:
    INSTALLED_APPS.remove("strawberry_django")  # it has no tables, and takes as long to import as Django
MIDDLEWARE = [
    "tests.admin.policy.strict_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = os.environ.get("VAULT_TEST_USE_TZ", "1") == "1"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

DEFAULT_EXCEPTION_REPORTER_FILTER = "django_workos_vault.tracebacks.ExceptionReporterFilter"
SILENCED_SYSTEM_CHECKS = [
    "django_workos_vault.E011",  # a LocalVault, and DEBUG is off under test
    "django_workos_vault.W160",  # models of the tests do without the manager, or have another one first
]
WORKOS_VAULTS = {
    "default": {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"master_key": b"tests only: this is not a secret", "objects_file": ":memory:"},
    },
}
