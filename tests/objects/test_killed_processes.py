"""A process killed between two requests of a save: the old or the new value is read, all else is found."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection, transaction

from django_workos_vault.testing import RunningEmulator
from tests.app.models import Credential
from tests.objects.rows import loaded, names
from tests.objects.test_parts import LARGE, LARGER, SMALL
from tests.objects.test_parts_failures import delete_orphans

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True, databases=["default", "other"])]

CHILD = """
import json, sys
import django
from django.conf import settings
options = json.loads(sys.stdin.readline())
settings.DATABASES["default"]["NAME"] = options["database"]
settings.WORKOS_VAULTS = options["vaults"]
django.setup()
from contextlib import nullcontext
from django.db import transaction
from tests.app.models import Credential
row = Credential.objects.get(pk=options["pk"]) if options["pk"] else Credential()
if options["after"] == "deleted":
    row.token
    print("ready", flush=True)
    row.delete()
else:
    row.token = options["after"]
    print("ready", flush=True)
    with transaction.atomic() if options["atomic"] else nullcontext():
        row.save()
print("done", flush=True)
"""
#: Seconds before each answer, so that the killing comes between two of them.
LATENCY = 0.15


def killed(emulator: RunningEmulator, after_requests: int, **options: Any) -> None:
    """Save in another process, and kill it after that many requests, if it is not done before."""
    options |= {"database": str(connection.settings_dict["NAME"]), "vaults": django_settings.WORKOS_VAULTS}
    worker = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(options) + "\n")
    worker.stdin.flush()
    assert worker.stdout.readline() == "ready\n"
    before = len(emulator.events)
    emulator.faults.latency = LATENCY
    while worker.poll() is None and len(emulator.events) < before + after_requests:
        time.sleep(0.01)
    if worker.poll() is None:
        os.kill(worker.pid, signal.SIGKILL)
    done = "done" in worker.communicate(timeout=60)[0]
    time.sleep(2 * LATENCY)  # what it had sent is carried out
    emulator.faults.latency = 0
    assert done or worker.returncode == -signal.SIGKILL


@pytest.mark.parametrize("requests", [2, 5])
@pytest.mark.parametrize(
    ("before", "after", "atomic"),
    [
        (None, LARGE, False),
        (LARGE, LARGER, True),
        (LARGE, LARGER, False),
        (LARGE, SMALL, True),
        (LARGE, "deleted", False),
    ],
)
def test_killed_midway(remote: RunningEmulator, before: Any, after: Any, atomic: bool, requests: int) -> None:
    """Nothing is half: readers see old or new, vault_check names what is left, and the row is saved again."""
    row = Credential.objects.create(token=before) if before is not None else None
    killed(remote, requests, pk=row and row.pk, after=after, atomic=atomic)
    rows = list(Credential.objects.all())
    assert len(rows) == 1 or row is None or after == "deleted"
    for each in rows:
        assert each.token in (before, after)
    delete_orphans()
    for each in map(loaded, rows):
        assert each.token in (before, after)
        with transaction.atomic():
            each.token = "afterwards"
            each.save()
        assert loaded(each).token == "afterwards"
        each.delete()
    delete_orphans()  # what was kept for a version that the row has had until now
    assert names() == []
