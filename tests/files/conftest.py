"""Storages that files are kept in during a test."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    """The folder of the default storage: one of the test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"
