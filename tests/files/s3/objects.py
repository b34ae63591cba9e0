"""What tests of files on S3 share: a text, the options of a storage, an upload that breaks off."""

import io
import os
import random
import signal
from typing import Any

TEXT = random.Random(1).randbytes(3 << 20)
S3 = "storages.backends.s3.S3Storage"


def options(moto: str, **more: Any) -> dict[str, Any]:
    return {
        "access_key": "tests",
        "secret_key": "tests",
        "bucket_name": "files",
        "endpoint_url": moto,
        "region_name": "us-east-1",
        **more,
    }


def line(model: Any, params: Any) -> str:
    asked = params["headers"].get("Range")
    return f"{model.name} {asked}" if asked else str(model.name)


class Breaking(io.RawIOBase):
    """An upload that breaks off after many megabytes."""

    def __init__(self, megabytes: int) -> None:
        self.left = 16 * megabytes

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("the client went away")
        return TEXT[: 1 << 16]


class Killing(Breaking):
    """An upload of so many megabytes, ``at`` the end of one of which a process is killed."""

    def __init__(self, megabytes: int, at: int, pid: int) -> None:
        super().__init__(megabytes)
        self._then = self.left - 16 * at
        self._pid = pid

    def read(self, size: int = -1) -> bytes:
        if self.left == self._then:
            os.kill(self._pid, signal.SIGKILL)
        return super().read(size) if self.left else b""
