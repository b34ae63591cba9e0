"""A server with a bucket that fails where it is told to."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import boto3
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.files.s3.objects import S3, options

FAULTS = {
    "503 Service Unavailable": "SlowDown",
    "403 Forbidden": "AccessDenied",
    "500 Oops": "InternalError",
    "429 Too Many Requests": "TooManyRequests",
}


class FaultyS3:
    """Moto's server, which answers with a fault where it is asked for one of ``faults``.

    ``everything`` is the fault for all files, and ``met`` is called when a file is asked for.
    ``refuses_writes`` is one for what is stored.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.faults: dict[str, str] = {}
        self.everything: str | None = None
        self.refuses_writes: str | None = None
        self.met: Callable[[], Any] | None = None
        self.reads = 0
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __call__(self, environ: Any, start_response: Any) -> Any:
        reads = environ["REQUEST_METHOD"] == "GET"
        self.reads += reads
        if reads and self.met is not None:
            self.met()
        status = self.everything or self.faults.get(environ["PATH_INFO"].removeprefix("/files/"))
        if environ["REQUEST_METHOD"] in ("PUT", "POST"):
            status = self.refuses_writes
        elif not reads:
            status = None
        if status is None:
            return self._app(environ, start_response)
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{FAULTS[status]}</Code><Message>no</Message></Error>".encode()]

    def __enter__(self) -> "FaultyS3":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def at(url: str, **client: Any) -> dict[str, Any]:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5, **client)
    return {"default": {"BACKEND": S3, "OPTIONS": options(url, client_config=once)}}


@contextmanager
def faulty_s3(settings: Any) -> Iterator[FaultyS3]:
    """Yield where the files of the rows are."""
    with FaultyS3() as server:
        secrets = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
        client = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", **secrets)
        client.create_bucket(Bucket="files")
        _empty(client)  # moto's servers in one process have one memory
        settings.STORAGES = at(server.url)
        yield server
        server.faults, server.everything, server.met, server.refuses_writes = {}, None, None, None
        _empty(client)
        client.close()


def _empty(client: Any) -> None:
    for each in client.list_objects_v2(Bucket="files").get("Contents", ()):
        client.delete_object(Bucket="files", Key=each["Key"])
