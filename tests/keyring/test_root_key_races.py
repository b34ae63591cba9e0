"""Vaults that read each other have one root key of each version, whoever asks for it first, and when."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Barrier, Semaphore
from threading import local as local_to_thread
from typing import Any, TextIO

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction

from django_workos_vault import vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.handler import VaultHandler
from django_workos_vault.models import IndexKeyRecord
from tests.forked import Forks
from tests.maintenance.moving import local, only

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 60  # seconds after which a test gives up: long, for it says nothing about speed


class Meeting:
    """Lets the first ``people`` who come go on together, and everybody after them at once."""

    def __init__(self, people: int) -> None:
        self._barrier = Barrier(people)
        self._places = Semaphore(people)

    def come(self) -> None:
        if self._places.acquire(blocking=False):
            self._barrier.wait(PATIENCE)


class Notes(local_to_thread):
    has_made_a_key = False


notes = Notes()


class NotingVault(LocalVault):
    """A user's backend that notes that the thread has a new key, and is about to store it."""

    def create_data_key(self, context: Any) -> DataKey:
        notes.has_made_a_key = True
        return super().create_data_key(context)


def readers(*aliases: str) -> dict[str, Any]:
    """Vaults that all name each other."""
    return {
        alias: {
            **local(number, ALSO_READS=[other for other in aliases if other != alias]),
            "BACKEND": f"{__name__}.NotingVault",
        }
        for number, alias in enumerate(aliases, start=1)
    }


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Run each in a thread of its own: all have seen that there is no key before any of them stores one."""
    meeting = Meeting(len(work))

    def meet_after_a_look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(sql, params, many, context)
        if notes.has_made_a_key and sql.startswith("SELECT") and IndexKeyRecord._meta.db_table in sql:
            meeting.come()
        return result

    def watched(one: Callable[[], Any]) -> Any:
        try:
            with connection.execute_wrapper(meet_after_a_look):
                return one()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(work)) as threads:
        return [each.result(PATIENCE) for each in [threads.submit(watched, one) for one in work]]


def are_one(keys: Iterable[bytes]) -> bool:
    return len(set(keys)) == 1


def key_of(alias: str, version: int) -> Callable[[], bytes]:
    return lambda: vaults[alias].index_keys.key(version, b"x")


def inside(work: Callable[[], Any]) -> Callable[[], Any]:
    """Work in a transaction of the caller's, which has looked at the database before."""

    def begun() -> Any:
        with transaction.atomic():
            IndexKeyRecord.objects.count()
            return work()

    return begun


@contextmanager
def isolation(level: str) -> Iterator[None]:
    """New connections have this isolation level, or way to begin a transaction, as their driver names it."""
    options = connection.settings_dict["OPTIONS"]
    before = dict(options)
    if level and connection.vendor == "postgresql":
        from psycopg import IsolationLevel

        options["isolation_level"] = IsolationLevel[level.upper().replace(" ", "_")]
    elif level:
        options["isolation_level" if connection.vendor == "mysql" else "transaction_mode"] = level
    connections.close_all()
    try:
        yield
    finally:
        options.clear()
        options.update(before)
        connections.close_all()


LEVELS = ["", *(["deferred"] if connection.vendor == "sqlite" else ["repeatable read", "serializable"])]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("aliases", [("default", "new"), ("default", "new", "third")])
def test_vaults_that_make_the_first_root_key_at_once(
    aliases: tuple[str, ...], version: int, level: str
) -> None:
    """One of them makes it, and the others carry it over: all digests are the same, now and later."""
    with only(**readers(*aliases)), isolation(level):
        made = at_once(*(key_of(alias, version) for alias in aliases))
        assert are_one(made)
        vaults.reset()
        assert are_one([*made, *(key_of(alias, version)() for alias in aliases)])
        records = IndexKeyRecord.objects.filter(version=version)
        assert [bool(each.carried) for each in records].count(False) == 1
        assert {each.vault for each in records} == set(aliases)


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="one of two such transactions fails at its first write"
)
@pytest.mark.parametrize("level", LEVELS if connection.vendor == "postgresql" else LEVELS[:2])
def test_vaults_that_make_it_inside_transactions(level: str) -> None:
    """Each in a transaction that saw the table without any."""
    with only(**readers("default", "new")), isolation(level):
        made = at_once(*(inside(key_of(alias, 1)) for alias in ("default", "new")))
        assert are_one(made)


@pytest.mark.parametrize("version", [1, 2])
def test_one_vault_that_makes_it_twice_at_once(version: int) -> None:
    """As two processes do: one record, and both go on with it, beside another vault that is as fast."""
    with only(**readers("default", "new")):
        mine, other = vaults["default"].index_keys, vaults["new"].index_keys
        vaults.reset()
        asked = (mine, vaults["default"].index_keys, other)
        made = at_once(*(partial(each.key, version, b"x") for each in asked))
        assert are_one(made)
        assert IndexKeyRecord.objects.count() == 2


def test_a_key_whose_transaction_was_rolled_back_gives_way() -> None:
    """What one process still has in memory is not stored beside what another made since."""
    with only(**readers("default", "new")):
        with transaction.atomic():
            key_of("default", 1)()
            key_of("new", 1)()
            transaction.set_rollback(True)
        of_another_process = VaultHandler()
        others = of_another_process["new"].index_keys.key(1, b"x")
        assert are_one([others, key_of("default", 1)(), key_of("new", 1)()])


def test_a_database_that_was_not_migrated_yet() -> None:
    """The error says what to do, and takes no transaction along; a vault that reads no other goes on."""
    call_command("migrate", "django_workos_vault", "0005", verbosity=0)
    try:
        with only(**readers("default", "new"), alone=local(3)), transaction.atomic():
            with pytest.raises(InvalidVaultConfiguration, match="Run migrate"):
                key_of("default", 1)()
            key_of("alone", 1)()
    finally:
        call_command("migrate", "django_workos_vault", verbosity=0)


EACH_VERSION = """
import sys
from hashlib import sha256
from django.conf import settings
alias, *aliases = sys.argv[1:]
settings.WORKOS_VAULTS = {
    alias: {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "tests"},
        "ALSO_READS": [other for other in aliases if other != alias],
        "OPTIONS": {"master_key": bytes([number]) * 32, "objects_file": ":memory:"},
    }
    for number, alias in enumerate(aliases, start=1)
}
from django_workos_vault import vaults
vaults[alias].index_keys.exists(1)
print("ready", flush=True)
for line in sys.stdin:
    print(sha256(vaults[alias].index_keys.key(int(line), b"x")).hexdigest(), flush=True)
"""


@contextmanager
def worker(forks: Forks, alias: str, aliases: list[str], cwd: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """Begin a process, and give what it reads and what it writes."""
    theirs_to_read, asks = os.pipe()
    answers, theirs_to_write = os.pipe()
    streams = {"stdin": theirs_to_read, "stdout": theirs_to_write, "stderr": 2}
    process = forks.start(EACH_VERSION, alias, *aliases, cwd=cwd, **streams)
    os.close(theirs_to_read)
    os.close(theirs_to_write)
    with open(answers) as said:
        with open(asks, "w", buffering=1) as asked:
            yield asked, said
        process.wait(PATIENCE)


def test_processes_that_make_root_keys_at_once(forks: Forks, tmp_path: Path) -> None:
    """Two of each vault, and version after version: nobody ever has a key of its own."""
    aliases = ["default", "new"]
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(forks, alias, aliases, tmp_path)) for alias in aliases * 2]
        assert [said.readline() for _, said in workers] == ["ready\n"] * 4
        for version in range(1, 21):
            for asked, _ in workers:
                asked.write(f"{version}\n")
            assert are_one([said.readline() for _, said in workers]), version
        assert IndexKeyRecord.objects.count() == 40
