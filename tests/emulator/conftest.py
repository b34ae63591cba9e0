"""A client with the emulator's API key."""

import pytest

from tests.emulator.asking import connect


@pytest.fixture
def http(vault_emulator):
    with connect(vault_emulator.url, vault_emulator.api_key) as client:
        yield client
