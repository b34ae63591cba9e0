"""Storages that files are kept in during a test, and what seals them without a field."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.streams.cipher import FileCipher
from tests.files.sealing import new_ring, small


@pytest.fixture(scope="session", autouse=True)
def _descriptions_of_aws() -> Iterator[None]:
    """boto reads its descriptions of AWS, megabytes of JSON, once and not for each client of each test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", cache(botocore.session.create_loader))
        yield


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Path) -> Path:
    """The folder of the default storage: one of the test's own."""
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture
def ring() -> KeyRing:
    return new_ring()


@pytest.fixture
def cipher(ring: KeyRing) -> FileCipher:
    return small(ring)
