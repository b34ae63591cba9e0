"""A worker is thought dead before its lease is over only where its process id means this worker's process."""

import subprocess
import sys

import pytest

from django_workos_vault.maintenance.engine import chunks, runs
from django_workos_vault.maintenance.engine.names import is_dead, worker_name
from django_workos_vault.models import MaintenanceChunk
from tests.app.models import Person
from tests.maintenance.reencrypting import people

_NAME = "from django_workos_vault.maintenance.engine.names import worker_name; print(worker_name())"
_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc")


def name_of_a_process_that_ended(*prefix: str) -> str:
    command = [*prefix, sys.executable, "-c", _NAME]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def free_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_names() -> None:
    """This process lives; one that ended is dead; of a name that says nothing, nothing is thought."""
    assert not is_dead(worker_name())
    assert worker_name() != worker_name()
    assert len(worker_name()) <= 100
    assert is_dead(name_of_a_process_that_ended())
    for unknown in ("", "thief", f"host:{free_pid()}:00000000", f"host/:{free_pid()}:00000000"):
        assert not is_dead(unknown)


def test_another_container() -> None:
    """One hostname, another process namespace: a process id that is free here is none that died."""
    if subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("this user may make no process namespace")
    name = name_of_a_process_that_ended(*_UNSHARE)
    host, _, rest = name.partition("/")
    identity, pid, tail = rest.split(":")
    assert host == worker_name().partition("/")[0]
    assert int(pid) < 10  # of its own namespace
    assert not is_dead(f"{host}/{identity}:{free_pid()}:{tail}")


@pytest.mark.django_db
def test_a_chunk_of_another_container() -> None:
    """It is left to its worker until its lease is over, and that worker counts as one at work."""
    people(2)
    run = runs.begin([Person._meta.get_field("ssn")], "reseal", using="default")
    host = worker_name().partition("/")[0]
    theirs = f"{host}/00000000:{free_pid()}:00000000"
    assert chunks.claim(run, [Person], theirs) is not None
    assert chunks.claim(run, [Person], worker_name()) is None
    assert runs.progress(run).workers == 1
    MaintenanceChunk.objects.update(worker=name_of_a_process_that_ended())
    assert runs.progress(run).workers == 0
    assert chunks.claim(run, [Person], worker_name()) is not None
