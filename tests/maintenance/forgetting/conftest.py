"""Where files are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.maintenance.forgetting.faulty_s3 import FaultyS3, faulty_s3


@pytest.fixture(autouse=True)
def _media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def s3(settings: Any) -> Iterator[FaultyS3]:
    """A server with the faults that a test asks for, behind the storage of files."""
    with faulty_s3(settings) as server:
        yield server
