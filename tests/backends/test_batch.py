"""Many keys at once."""

import asyncio
import threading

import pytest

from django_workos_vault.backends import batch
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import VaultError
from tests.backends.replies import DECRYPTED, say
from tests.scripted import Reply


class TestBatch:
    def test_many(self, server, vault):
        """Many keys are unwrapped at once, each in its place; a failure is returned in its own."""
        answers = vault.decrypt_data_keys([b"a", b"", b"c"])
        assert [type(answer).__name__ for answer in answers] == ["DataKey", "VaultRequestError", "DataKey"]
        assert [answer.wrapped for answer in (answers[0], answers[2])] == [b"a", b"c"]
        assert vault.requests_made == 2
        assert vault.decrypt_data_keys([]) == []

    async def test_many_async(self, server, vault):
        """Async code gets the same."""
        answers = await vault.adecrypt_data_keys([b"a", b"", b"c"])
        assert [isinstance(answer, DataKey) for answer in answers] == [True, False, True]
        server.answer(Reply(DECRYPTED | {"encrypted_keys": "eA==", "context": {"app": "x"}}))
        created = await vault.acreate_data_keys([{"app": "x"}] * 3)
        assert [key.wrapped for key in created] == [b"x"] * 3
        assert [key.wrapped for key in await asyncio.to_thread(vault.create_data_keys, [{"app": "x"}])] == [
            b"x"
        ]

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_concurrency(self, server, vault, kind):
        """Eight keys are asked for at a time: never more, and never fewer while there are enough."""
        eight = threading.Barrier(batch.CONCURRENCY)
        under_way, most = [], []

        def answer(handler):
            under_way.append(handler)
            eight.wait(20)  # nobody is answered before eight have asked
            most.append(len(under_way))
            eight.wait(20)
            under_way.remove(handler)
            say(handler, DECRYPTED)

        server.answer(Reply(act=answer))
        many = [b"x"] * 3 * batch.CONCURRENCY
        answers = (
            vault.decrypt_data_keys(many) if kind == "sync" else asyncio.run(vault.adecrypt_data_keys(many))
        )
        assert all(isinstance(answer, DataKey) for answer in answers)
        assert set(most) == {batch.CONCURRENCY}

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_vault_is_down(self, server, vault, kind):
        """Once the vault cannot be used, the keys still waiting fail without a request."""
        server.answer(Reply(status=401))
        many = [b"x"] * 500
        answers = (
            vault.decrypt_data_keys(many) if kind == "sync" else asyncio.run(vault.adecrypt_data_keys(many))
        )
        assert all(isinstance(answer, VaultError) for answer in answers)
        assert vault.requests_made <= 2 * batch.CONCURRENCY
