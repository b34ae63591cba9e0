"""Async calls: they run in a few threads of the vault's own, whatever loop they come from."""

import asyncio
import os
import signal
import threading
from contextvars import ContextVar, copy_context

import pytest
from asgiref.sync import async_to_sync

from django_workos_vault.backends import threads
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import VaultUnavailable
from tests.backends.replies import API_KEY, DECRYPTED, connections, say
from tests.scripted import Reply

tenant = ContextVar("tenant")


class TestThreads:
    def test_loop_after_loop(self, server, vault):
        """Event loops, of which async_to_sync makes one for every call, share the connections."""

        async def twice():
            await vault.adecrypt_data_key(b"x")
            await vault.adecrypt_data_key(b"x")

        for _ in range(2):
            asyncio.run(twice())
            async_to_sync(twice)()
        assert len(server.asked) == 8
        assert connections(server) == 1

    def test_loops_at_once(self, server, vault):
        """So do loops in several threads, a connection for each call that is under way."""
        four = threading.Barrier(4)

        def answer(handler):
            four.wait(20)
            say(handler, DECRYPTED)

        server.answer(Reply(act=answer))
        threads = [
            threading.Thread(target=lambda: asyncio.run(vault.adecrypt_data_key(b"x"))) for _ in range(4)
        ]
        for _ in range(2):
            threads = [
                threading.Thread(target=lambda: asyncio.run(vault.adecrypt_data_key(b"x"))) for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(server.asked) == 8
        assert connections(server) == 4

    async def test_threads_of_async_code(self, server):
        """However many tasks there are, their calls run in as many threads as there may be connections."""
        server.answer(Reply(DECRYPTED))
        others = set(threading.enumerate())  # another test's may not have ended yet
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, max_connections=3)
        await asyncio.gather(*(vault.adecrypt_data_key(b"x") for _ in range(50)))
        ours = {t for t in threading.enumerate() if t.name.startswith("vault-async")} - others
        assert len(ours) <= 3
        assert connections(server) <= 3
        vault.close()
        for thread in ours:
            thread.join(20)
        assert (await vault.adecrypt_data_key(b"x")).id == "key_1"
        vault.close()

    async def test_context_variables(self, server):
        """A call sees the context variables of the task that awaits it, whichever thread it runs in."""
        seen = []

        class Noting(WorkOSVault):
            def decrypt_data_key(self, wrapped):
                seen.append(tenant.get())
                return super().decrypt_data_key(wrapped)

        async def call(name):
            tenant.set(name)
            await vault.adecrypt_data_key(b"x")

        server.answer(Reply(DECRYPTED))
        vault = Noting(api_key=API_KEY, base_url=server.url)
        await asyncio.gather(*(call(f"org_{number}") for number in range(20)))
        assert sorted(seen) == sorted(f"org_{number}" for number in range(20))
        vault.close()

    def test_no_thread_is_free(self, server, vault):
        """Waiting for a thread counts towards the deadline, and says nothing about Vault."""
        server.answer(Reply(DECRYPTED))

        def late():
            caller = threads._Caller()
            caller.since -= 60
            threads._caller.set(caller)
            vault.decrypt_data_key(b"x")

        with pytest.raises(VaultUnavailable, match=r"no connection .* was free in time"):
            copy_context().run(late)
        assert server.asked == []
        assert vault.asks_again_in() == 0
        assert vault.decrypt_data_key(b"x").id == "key_1"

    async def test_cancelled_before_it_began(self, server):
        """A call that is cancelled while it waits for a thread is never made."""
        server.answer(server.silent())
        vault = WorkOSVault(api_key=API_KEY, base_url=server.url, max_connections=1, deadline=5)
        first = asyncio.create_task(vault.adecrypt_data_key(b"x"))
        while not server.asked:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(vault.adecrypt_data_key(b"x")) for _ in range(5)]
        await asyncio.sleep(0)
        for task in (*others, first):
            task.cancel()
        outcomes = await asyncio.gather(first, *others, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        assert len(server.asked) == 1
        server.released.set()
        vault.close()

    async def test_cancelled_while_it_fails(self, server, vault):
        """A call that fails when nobody awaits it any more is not tried again, and counts as no outage."""
        server.answer(server.silent(), Reply(DECRYPTED))
        task = asyncio.create_task(vault.adecrypt_data_key(b"x"))
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.released.set()  # which hangs up
        pool = vault._threads._pool
        await asyncio.to_thread(pool.shutdown)
        assert len(server.asked) == vault.requests_made == 1
        assert vault.asks_again_in() == 0

    async def test_cancelled(self, server, vault):
        """A call that is cancelled gives its connection back."""
        server.answer(server.silent(), Reply(DECRYPTED))
        task = asyncio.create_task(vault.adecrypt_data_key(b"x"))
        while not server.asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await vault.adecrypt_data_key(b"x")).id == "key_1"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_fork(self, server, vault):
        """A forked process has threads of its own."""
        asyncio.run(vault.adecrypt_data_key(b"x"))
        child = os.fork()
        if not child:
            signal.alarm(5)
            try:
                asyncio.run(vault.adecrypt_data_key(b"x"))
                os._exit(0 if vault.requests_made == 1 else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        asyncio.run(vault.adecrypt_data_key(b"x"))
        first, in_child, last = (asked.connection for asked in server.asked)
        assert first == last != in_child

    def test_local_vault(self):
        """A vault that answers at once is asked for keys in the event loop, and for objects in a thread."""
        seen = []

        class Noting(LocalVault):
            def call(self, operation, arguments):
                seen.append((operation.name, threading.current_thread() is threading.main_thread()))
                return super().call(operation, arguments)

        async def both():
            await vault.acreate_data_key({"app": "x"})
            await vault.acreate_object("n", "v", {"app": "x"})

        vault = Noting(master_key=bytes(range(32)), objects_file=":memory:")
        asyncio.run(both())
        vault.close()
        assert seen == [("create_data_key", True), ("create_object", False)]
