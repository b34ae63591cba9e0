"""A client with the emulator's API key."""

import pytest
from schemathesis.pytest import plugin as schemathesis_plugin

from tests.emulator.asking import connect


def pytest_configure(config):
    config.pluginmanager.register(schemathesis_plugin)


@pytest.fixture
def http(vault_emulator):
    with connect(vault_emulator.url, vault_emulator.api_key) as client:
        yield client
