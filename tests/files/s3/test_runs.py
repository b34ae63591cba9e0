"""A run over files whose storage fails."""

from io import StringIO
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from django_workos_vault.models import MaintenanceRun
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, options

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def test_a_store_that_does_not_answer(moto: str, client: Any, settings: Any) -> None:
    """The run is paused, with the class of the error; taken up again, it does every file."""
    answering = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    nobody = options("http://127.0.0.1:9", client_config=Config(retries={"total_max_attempts": 1}))
    settings.STORAGES = answering
    for number in range(3):
        Scan.objects.create(file=ContentFile(TEXT[:1000], name=f"{number}.mp4"))
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": nobody}}
    with pytest.raises(CommandError, match=r"Stopped by EndpointConnectionError: .*--resume") as caught:
        call_command("vault_reencrypt", "files.Scan.file", stdout=StringIO())
    assert isinstance(caught.value.__cause__, EndpointConnectionError)
    run = MaintenanceRun.objects.get()
    assert (run.state, run.reason) == ("paused", "EndpointConnectionError.")
    settings.STORAGES = answering
    out = StringIO()
    call_command("vault_reencrypt", resume=run.pk, stdout=out)
    assert f"Run {run.pk} is finished: 3 rows" in out.getvalue()
