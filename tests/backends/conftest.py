"""A server that unwraps every key, and a client of it."""

import pytest

from django_workos_vault.backends.workos import WorkOSVault
from tests.backends.replies import API_KEY, DECRYPTED
from tests.scripted import Reply, scripted_server


@pytest.fixture
def server():
    with scripted_server() as server:
        server.answer(Reply(DECRYPTED))
        yield server


@pytest.fixture
def vault(server):
    vault = WorkOSVault(api_key=API_KEY, base_url=server.url, timeout=20, deadline=30)
    yield vault
    vault.close()
