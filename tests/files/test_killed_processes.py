"""A process that is killed midway of an upload, and a server of Google's storage that is."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage.retry import DEFAULT_RETRY

from django_workos_vault.exceptions import EnvelopeError
from tests.files.models import Scan
from tests.files.s3.objects import TEXT, Killing
from tests.files.server_process import server_process
from tests.files.test_fields import everything, text_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True, databases=["default", "other"])]

GOOGLE = (
    "from gcp_storage_emulator.server import create_server as c; import time\n"
    "s = c('127.0.0.1', 0, in_memory=True, default_bucket='files'); s.start()\n"
    "print(s._api._httpd.server_address[1], flush=True); time.sleep(600)"
)
UPLOAD = """
    import os, sys
    import django
    from django.conf import settings
    settings.DATABASES["default"]["NAME"], settings.MEDIA_ROOT = sys.argv[1:]
    django.setup()
    from django.core.files import File
    from tests.files.models import Scan
    from tests.files.s3.objects import Killing

    Scan.objects.create(file=File(Killing(4, 3, os.getpid()), name="scan.bin"))
"""


def test_a_process_that_is_killed(media: Path, capsys: Any) -> None:
    """Nobody could remove the half: no row refers to it, it does not open, and vault_check lists it."""
    kept = Scan.objects.create(file=ContentFile(b"left hand", name="scan.bin"))
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(UPLOAD), str(connection.settings_dict["NAME"]), str(media)],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL
    assert text_of(Scan.objects.get().file) == b"left hand"
    (half,) = set(everything(media)) - {media / kept.file.name}
    assert half.stat().st_size > 2 << 20
    Scan.objects.update(file=str(half.relative_to(media)))
    with pytest.raises(EnvelopeError, match="cut short"):
        text_of(Scan.objects.get().file)
    Scan.objects.update(file=kept.file.name)
    with pytest.raises(CommandError):
        call_command("vault_check", files=True)
    assert str(half.relative_to(media)) in capsys.readouterr().out


@pytest.mark.parametrize("at", [0, 1, 12])
def test_google_is_killed(at: int, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at the beginning, in the first chunk, or midway: the storage's own error, and no row of it."""
    monkeypatch.setattr(DEFAULT_RETRY, "_timeout", 2)  # instead of two minutes for each request
    with server_process(GOOGLE) as (url, process):
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        options = {
            "bucket_name": "files",
            "project_id": "tests",
            "credentials": AnonymousCredentials(),
            "blob_chunk_size": 4 << 20,
        }
        settings.STORAGES = {
            "default": {"BACKEND": "storages.backends.gcloud.GoogleCloudStorage", "OPTIONS": options}
        }
        scan = Scan.objects.create(file=ContentFile(TEXT, name="before.bin"))

        with pytest.raises((GoogleAPICallError, RetryError, OSError)), transaction.atomic():
            Scan.objects.create(file=File(Killing(20, at, process.pid), name="after.bin"))
        assert Scan.objects.get().file.name == scan.file.name
        with pytest.raises((GoogleAPICallError, RetryError, OSError)):
            Scan.objects.get().file.open()
