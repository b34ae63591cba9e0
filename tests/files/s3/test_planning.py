"""What a plan of files on S3 costs: one range of each."""

import json
from collections import Counter
from io import StringIO
from typing import Any

import pytest
from botocore.config import Config
from django.core.files.base import ContentFile
from django.core.management import call_command

from django_workos_vault.files.heads import Heads
from django_workos_vault.maintenance.files.many import FAILURES_IN_A_ROW
from tests.files.models import Scan
from tests.files.s3.objects import S3, TEXT, line, options

pytestmark = pytest.mark.django_db(databases="__all__")


def test_one_small_range_of_each(moto: str, client: Any, settings: Any, heads: Heads) -> None:
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    for number in range(3):
        scan = Scan.objects.create(file=ContentFile(TEXT, name=f"{number}.mp4"))
    client.delete_object(Bucket="files", Key=scan.file.name)
    sent: list[str] = []
    inner: Any = scan.file.storage.inner
    events = inner.connection.meta.client.meta.events
    events.register("before-call.s3", lambda model, params, **kwargs: sent.append(line(model, params)))
    out = StringIO()
    call_command("vault_reencrypt", "files.Scan.file", plan=True, stdout=out)
    assert "file: encrypted 2, missing 1" in out.getvalue()
    assert sent == ["GetObject bytes=0-131071"] * 3


def test_a_store_that_is_out_is_not_asked_for_all(moto: str, client: Any, settings: Any) -> None:
    """What it was not asked for is told so."""
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    scan = Scan.objects.create(file=ContentFile(TEXT[:1000], name="a.mp4"))
    Scan.objects.bulk_create([Scan(file=scan.file.name) for _ in range(39)])
    nobody = options("http://127.0.0.1:9", client_config=Config(retries={"total_max_attempts": 1}))
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": nobody}}
    out = StringIO()
    call_command("vault_reencrypt", "files.Scan.file", plan=True, format="json", stdout=out)
    [column] = json.loads(out.getvalue())["columns"]
    left = Counter(cell["reason"] for cell in column["unreadable"])
    assert (left.total(), left.keys()) == (40, {"EndpointConnectionError", "NotAsked"})
    assert left["EndpointConnectionError"] <= FAILURES_IN_A_ROW + 10


def test_a_store_that_does_not_answer(moto: str, client: Any, settings: Any) -> None:
    """Its files are told as unreadable, by the name of its error."""
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": options(moto)}}
    Scan.objects.create(file=ContentFile(TEXT, name="a.mp4"))
    nobody = options("http://127.0.0.1:9", client_config=Config(retries={"total_max_attempts": 1}))
    settings.STORAGES = {"default": {"BACKEND": S3, "OPTIONS": nobody}}
    out = StringIO()
    call_command("vault_reencrypt", "files.Scan.file", plan=True, stdout=out)
    assert "file: unreadable 1" in out.getvalue()
    assert "The storage did not give the file (EndpointConnectionError)." in out.getvalue()
