"""Fixtures that more than one test module uses."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - it looks for who knows trio's generator, and finds nobody after gc.freeze()
import pytest
from django.db import connections
from django.db.models import QuerySet
from django.test import override_settings
from strawberry_django import queryset as strawberry_querysets

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from tests.app.management.commands.flush import note_what_migrations_left
from tests.forked import Forks
from tests.settings import server_database_name

pytest_plugins = ["django_workos_vault.testing"]

gc.disable()  # until all is collected: what is imported and collected stays

# Whatever imports strawberry-django gets its QuerySet._clone; here, its own tests alone do.
QuerySet._clone = strawberry_querysets._original_clone


@pytest.fixture
def strawberry_clones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuerySet, "_clone", strawberry_querysets._qs_clone)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """PostgreSQL drops no database that a thread of some test is still connected to."""
    with django_db_blocker.unblock():
        for alias in connections:
            note_what_migrations_left(alias)
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            name = str(connection.settings_dict["NAME"])
            made_for_tests = name.startswith(server_database_name(connection.alias))  # if one asks for it
            if connection.vendor == "postgresql" and made_for_tests:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )


@pytest.fixture(autouse=True)
def _fresh_vaults() -> Iterator[None]:
    """Every test starts with cold keys: what one test's transaction rolled back, another must not use."""
    yield
    vaults.reset()


@pytest.fixture
def remote_vault(vault_emulator: RunningEmulator) -> Iterator[RunningEmulator]:
    """An emulator behind the default vault, for faults."""
    options = {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url, "deadline": 20.0}
    backend = "django_workos_vault.backends.workos.WorkOSVault"
    vault = {"BACKEND": backend, "KEY_CONTEXT": {"app": "tests"}, "OPTIONS": options}
    with override_settings(WORKOS_VAULTS={"default": vault}):
        yield vault_emulator
    vaults.reset()


@pytest.fixture(scope="session")
def forks(django_db_setup: None) -> Iterator[Forks]:
    """Start processes in the databases of the test, without the second that each would take to begin."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def outside_of_checkouts(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that runs vault_check many times: it need not read this project's files each time."""
    settings.SETTINGS_MODULE = ""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ctrl_c_works() -> Iterator[None]:
    """SIGINT interrupts, here and in processes started here.

    A shell without job control starts what it puts into the background with SIGINT ignored, and Python and
    its children keep to that: a test run there would wait for an interrupt that never comes.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto`` is a worker more than processors: many tests wait, for a deadline, a lease or a process."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1


def pytest_sessionstart(session: pytest.Session) -> None:
    """Where workers collect everything, each begins at another module, and finds the others' compiled."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and session.config.args == session.config.getini("testpaths"):
        modules = sorted(Path(__file__).parent.rglob("test_*.py"))
        begin = len(modules) * int(worker[2:]) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        for path in [*modules[begin:], *modules[:begin]]:
            with suppress(Exception, pytest.skip.Exception):  # is told when it is collected
                import_module(".".join(path.relative_to(session.config.rootpath).with_suffix("").parts))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What was collected stays to the end: the garbage collector need not visit it after each test."""
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)  # most of what tests leave needs no collector
        gc.enable()
