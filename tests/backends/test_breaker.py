"""After a failure of Vault itself calls fail at once for a while; then one request finds out."""

import asyncio
import os
import signal
import threading
import time
from contextlib import suppress

import pytest
import stamina

from django_workos_vault.backends.breaker import LONGEST_PAUSE, OVERTIME, PAUSE, Breaker
from django_workos_vault.backends.retries import AttemptFailed
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultError,
    VaultRateLimited,
    VaultRequestError,
    VaultUnavailable,
)
from tests.clock import Clock
from tests.scripted import Reply, hang_up, not_http, scripted_server

DECRYPTED = {"id": "key_1", "data_key": "A" * 42 + "E="}
DEADLINE = 15.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def vault(server, clock):
    vault = make_vault(server, clock)
    yield vault
    vault.close()


@pytest.fixture(autouse=True)
def no_backoff():
    """Retries follow each other without a pause, and there is one."""
    with stamina.set_testing(True, attempts=2):
        yield


def make_vault(server, clock, **options):
    vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, **options)
    vault._breaker = Breaker(options.get("deadline", DEADLINE), clock)
    return vault


async def decrypt(vault, kind):
    if kind == "async":
        return await vault.adecrypt_data_key(b"x")
    return vault.decrypt_data_key(b"x")


OUTAGES = {
    "503": (Reply({"error": "Down"}, 503), VaultUnavailable, "Down"),
    "500": (Reply(status=500), VaultUnavailable, "status 500"),
    "408": (Reply(status=408), VaultUnavailable, "status 408"),
    "401": (Reply(status=401), VaultAuthenticationError, "does not accept the API key"),
    "429": (Reply(status=429), VaultRateLimited, "rate limit"),
    "hang up": (Reply(act=hang_up), VaultUnavailable, "broke off"),
    "not HTTP": (Reply(act=not_http), VaultUnavailable, "does not speak HTTP"),
    "redirect": (
        Reply(status=302, headers={"Location": "https://example.org/"}),
        VaultUnavailable,
        "redirect",
    ),
}
ANSWERS = {
    "400": Reply(status=400),
    "403": Reply(status=403),
    "404": Reply(status=404),
    "409": Reply(status=409),
    "422": Reply(status=422),
    "another shape": Reply({"id": "key_1"}),
    "too long": Reply(b" " * 70_000),
}
KINDS = ["sync", "async"]


@pytest.mark.parametrize("kind", KINDS)
class TestOpening:
    @pytest.mark.parametrize(("reply", "error", "reason"), OUTAGES.values(), ids=OUTAGES)
    async def test_outage(self, server, vault, clock, kind, reply, error, reason):
        """The next calls get the same kind of error at once, which tells the first reason and how long."""
        server.answer(reply)
        with pytest.raises(error):
            await decrypt(vault, kind)
        asked = len(server.asked)
        clock.now += 1
        for again in KINDS:
            with pytest.raises(
                error, match=rf"not sent.* in 4\.0 seconds\. What failed: .*{reason}"
            ) as caught:
                await decrypt(vault, again)
            assert caught.value.__cause__ is caught.value.__context__ is None
        with pytest.raises(error, match="Could not create an object: not sent"):
            vault.create_object("n", "v", {"app": "x"})
        assert len(server.asked) == vault.requests_made == asked
        assert vault.asks_again_in() == 4

    @pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
    async def test_answers(self, server, vault, kind, reply):
        """What Vault says of one key or object says nothing of the others."""
        server.answer(reply)
        for asked in (1, 2, 3):
            with pytest.raises(VaultError) as caught:
                await decrypt(vault, kind)
            assert "not sent" not in str(caught.value)
            assert len(server.asked) == asked
        assert vault.asks_again_in() == 0

    async def test_refused_before_it_is_sent(self, server, vault, kind):
        """Neither does a request that cannot be sent."""
        with pytest.raises(VaultRequestError):
            vault.decrypt_data_key(b"")
        server.answer(Reply(DECRYPTED))
        assert (await decrypt(vault, kind)).id == "key_1"

    @pytest.mark.parametrize(
        ("told", "pause"),
        [("0", PAUSE), ("20", 20), ("600", LONGEST_PAUSE), ("9" * 400, PAUSE), ("x", PAUSE)],
    )
    async def test_retry_after(self, server, vault, clock, kind, told, pause):
        """Vault's own wish counts, within bounds."""
        server.answer(Reply(status=429, headers={"Retry-After": told}))
        with pytest.raises(VaultRateLimited):
            await decrypt(vault, kind)
        asked = len(server.asked)
        clock.now += pause - 1
        with pytest.raises(VaultRateLimited, match=r"in 1\.0 seconds") as caught:
            await decrypt(vault, kind)
        assert caught.value.retry_after == 1
        assert len(server.asked) == asked
        server.answer(Reply(DECRYPTED))
        clock.now += 1
        assert (await decrypt(vault, kind)).id == "key_1"


@pytest.mark.parametrize("kind", KINDS)
class TestProbe:
    async def test_back(self, server, vault, clock, kind):
        """The first call after the pause goes out, and all the following ones when it is answered."""
        await self.fail(server, vault, kind)
        clock.now += PAUSE
        server.answer(Reply(status=404), Reply(DECRYPTED))
        with pytest.raises(VaultError, match="status 404"):
            await decrypt(vault, kind)
        assert (await decrypt(vault, kind)).id == "key_1"
        assert vault.asks_again_in() == 0

    async def test_still_down(self, server, vault, clock, kind):
        """It is one request without retries. When it fails the pause begins anew, with the first reason."""
        await self.fail(server, vault, kind)
        server.answer(Reply(status=401))
        for _ in range(3):
            clock.now += PAUSE
            asked = len(server.asked)
            with pytest.raises(VaultAuthenticationError, match="status 401"):
                await decrypt(vault, kind)
            with pytest.raises(VaultUnavailable, match=r"in 5\.0 seconds.*status 503"):
                await decrypt(vault, kind)
            assert len(server.asked) == asked + 1

    async def test_one_alone(self, server, vault, clock, kind):
        """While it is out the others go on failing at once, threads and tasks alike."""
        await self.fail(server, vault, kind)
        clock.now += PAUSE
        came, go = threading.Event(), threading.Event()

        def wait(handler):
            came.set()
            go.wait(20)
            hang_up(handler)

        server.answer(Reply(act=wait))
        asked = len(server.asked)
        probe = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(swallow(vault, kind))))
        assert await asyncio.to_thread(came.wait, 20)
        for again in KINDS * 5:
            with pytest.raises(VaultUnavailable, match=r"by another call at this moment.*status 503"):
                await decrypt(vault, again)
        go.set()
        await probe
        assert len(server.asked) == asked + 1

    async def test_many_at_once(self, server, vault, clock, kind):
        """However many threads come at the moment the pause ends, one request goes out."""
        await self.fail(server, vault, kind)
        clock.now += PAUSE
        asked = len(server.asked)
        together = threading.Barrier(12)

        def call():
            together.wait(20)
            asyncio.run(swallow(vault, kind))

        threads = [threading.Thread(target=call) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join, 20)
        assert len(server.asked) == asked + 1

    async def test_cancelled(self, server, vault, clock, kind):
        """A call that is interrupted, or cancelled, leaves its place to another."""
        await self.fail(server, vault, kind)
        clock.now += PAUSE
        for end in (
            KeyboardInterrupt,
            asyncio.CancelledError,
            GeneratorExit,
            VaultRateLimited("Over our share"),
        ):
            with suppress(BaseException), vault._breaker.enter("try") as passage:
                assert passage.is_probe
                raise end
        server.answer(Reply(DECRYPTED))
        assert (await decrypt(vault, kind)).id == "key_1"

    async def test_lost(self, server, vault, clock, kind):
        """A call whose thread died is not waited for longer than any call can take."""
        await self.fail(server, vault, kind)
        clock.now += PAUSE
        vault._breaker.enter("try")
        server.answer(Reply(DECRYPTED))
        clock.now += DEADLINE + OVERTIME - 1
        with pytest.raises(VaultUnavailable, match="not sent"):
            await decrypt(vault, kind)
        clock.now += 1
        assert (await decrypt(vault, kind)).id == "key_1"

    async def test_told(self, server, vault, kind):
        """Whoever knows better has Vault asked at once."""
        await self.fail(server, vault, kind)
        server.answer(Reply(DECRYPTED))
        vault.forget_outage()
        assert (await decrypt(vault, kind)).id == "key_1"

    async def fail(self, server, vault, kind):
        server.answer(Reply(status=503))
        with pytest.raises(VaultUnavailable):
            await decrypt(vault, kind)


async def swallow(vault, kind):
    with suppress(VaultError):
        await decrypt(vault, kind)


class TestAcrossCalls:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_page(self, server, clock, kind):
        """Five hundred cold values cost one deadline when Vault is silent."""
        server.answer(server.silent())
        vault = make_vault(server, clock, deadline=0.3)
        began = time.monotonic()
        for _ in range(500):
            with pytest.raises(VaultUnavailable, match="did not answer in time"):
                await decrypt(vault, kind)
        assert time.monotonic() - began < 15
        assert vault.requests_made == 1
        vault.close()

    def test_batch(self, server, clock):
        """So do two batches after each other."""
        server.answer(server.silent())
        vault = make_vault(server, clock, deadline=0.3)
        for _ in range(2):
            outcomes = vault.decrypt_data_keys([b"%d" % number for number in range(100)])
            assert all(isinstance(outcome, VaultUnavailable) for outcome in outcomes)
        assert vault.requests_made <= 8
        vault.close()

    def test_no_free_connection(self, server, clock):
        """A pool that is used up is no outage: those who hold its connections find out."""
        server.answer(server.silent())
        vault = make_vault(server, clock, max_connections=1, deadline=2.0)
        holder = threading.Thread(target=lambda: asyncio.run(swallow(vault, "sync")))
        holder.start()
        while not server.asked:
            time.sleep(0.01)
        vault._timeout = 0.05
        with pytest.raises(VaultUnavailable, match=r"no connection .* was free"):
            vault.decrypt_data_key(b"x")
        assert vault.asks_again_in() == 0
        holder.join()
        vault.close()

    def test_late_success(self, clock):
        """An answer to a call that was begun before shows that Vault is there."""
        breaker = Breaker(DEADLINE, clock)
        early = breaker.enter("try")
        breaker.enter("try").failed(AttemptFailed(VaultUnavailable("x"), carried_out=True))
        assert breaker.asks_again_in() == PAUSE
        early.answered()
        assert not breaker.enter("try").is_probe

    def test_own_state(self, server, vault, clock):
        """Each vault has its own."""
        other = make_vault(server, clock)
        server.answer(Reply(status=401))
        asyncio.run(swallow(vault, "sync"))
        server.answer(Reply(DECRYPTED))
        assert other.decrypt_data_key(b"x").id == "key_1"
        other.close()

    def test_fork(self, server, vault):
        """A forked process finds out by itself."""
        server.answer(Reply(status=401))
        asyncio.run(swallow(vault, "sync"))
        server.answer(Reply(DECRYPTED))
        with vault._breaker._lock:  # as another thread might hold it at that moment
            child = os.fork()
            if not child:
                signal.alarm(10)
                try:
                    os._exit(0 if vault.decrypt_data_key(b"x").id == "key_1" else 2)
                finally:
                    os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert vault.asks_again_in() > 0

    @pytest.mark.parametrize("reply", [Reply(status=502), Reply(act=hang_up)], ids=["502", "hang up"])
    def test_hiccup(self, server, vault, reply):
        """A write that is not sent twice shows no outage when its one attempt is answered with a hiccup."""
        server.answer(reply, Reply(DECRYPTED))
        with pytest.raises(VaultUnavailable):
            vault.create_object("n", "v", {"app": "x"})
        assert vault.decrypt_data_key(b"x").id == "key_1"

    def test_doubt(self, server, vault):
        """The doubt about one write is not handed on to calls that were never sent."""
        server.answer(server.silent())
        vault._timeout = 0.1
        with pytest.raises(VaultUnavailable, match="carried it out all the same"):
            vault.create_object("n", "v", {"app": "x"})
        with pytest.raises(VaultUnavailable, match="not sent") as caught:
            vault.update_object("object_1", "v")
        assert "all the same" not in str(caught.value)
