"""A server with a bucket, and an encrypted storage in it."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from django_workos_vault.files import EncryptedStorage, ranged, sources
from django_workos_vault.files.heads import Heads
from tests.files.s3.objects import S3, line, options


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(moto: str) -> Any:
    client = boto3.client(
        "s3",
        endpoint_url=moto,
        region_name="us-east-1",
        aws_access_key_id="tests",
        aws_secret_access_key="tests",
    )
    client.create_bucket(Bucket="files")
    yield client
    for each in client.list_objects_v2(Bucket="files").get("Contents", ()):
        client.delete_object(Bucket="files", Key=each["Key"])
    client.close()


@pytest.fixture(autouse=True)
def heads(monkeypatch: pytest.MonkeyPatch) -> Heads:
    """What this process knows of files: nothing yet."""
    known = Heads()
    for module in (ranged, sources):
        monkeypatch.setattr(module, "heads", known)
    return known


@pytest.fixture
def storage(moto: str, client: Any) -> EncryptedStorage:
    return EncryptedStorage({"BACKEND": S3, "OPTIONS": options(moto, location="media")})


@pytest.fixture
def requests(storage: Any) -> list[str]:
    """The operations that boto sends, as they are sent."""
    sent: list[str] = []
    events = storage.inner.connection.meta.client.meta.events
    events.register("before-call.s3", lambda model, params, **kwargs: sent.append(line(model, params)))
    return sent
