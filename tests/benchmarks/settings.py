"""Settings of the benchmarks: those of the tests, and what the other libraries ask for."""

import sys

from tests.settings import *  # noqa: F403

INSTALLED_APPS = ["django_workos_vault", "tests.benchmarks"]
MIDDLEWARE: list[str] = []
SALT_KEY = "benchmarks only"
FIELD_ENCRYPTION_KEY = "YmVuY2htYXJrcyBvbmx5OiBub3QgYSBzZWNyZXQgISE="
SILENCED_SYSTEM_CHECKS = ["django_workos_vault.W001"]

if "--reference" in sys.argv:
    WORKOS_VAULTS["default"]["DATA_KEYS"] = {"envelope": "reference"}  # type: ignore[index]  # noqa: F405
