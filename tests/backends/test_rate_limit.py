"""The client-side rate limit: of one process, and of a fleet that shares a Redis."""

import asyncio
import threading
import time
import traceback
from uuid import uuid4

import pytest

from django_workos_vault.backends.carried import Carried
from django_workos_vault.backends.fleet import FleetLimiter, _Line
from django_workos_vault.backends.rate_limit import RateLimiter
from django_workos_vault.backends.retries import Deadline
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultRateLimited
from tests.clock import Clock
from tests.scripted import Reply, scripted_server

REDIS = "redis://127.0.0.1:6379/0"
DECRYPTED = {"id": "key_1", "data_key": "A" * 42 + "E="}


class TestOneProcess:
    def test_never_over_the_limit(self):
        """However requests come, no 60 seconds have more than the limit, and turns keep their order."""
        clock = Clock()
        limiter = RateLimiter(5, clock)
        turns = []
        for pause in [0, 0, 0, 0, 0, 0, 1, 0, 30, 0, 0, 0, 61, 0, 0, 0, 0, 0, 0]:
            clock.now += pause
            turns.append(clock.now + limiter.reserve(float("inf")))
        assert turns == sorted(turns)
        assert all(later - earlier >= 60 for earlier, later in zip(turns, turns[5:], strict=False))
        assert turns[:5] == [1000.0] * 5

    def test_beyond_the_deadline(self):
        """A turn after the deadline is refused at once, and takes nobody's place."""
        clock = Clock()
        limiter = RateLimiter(1, clock)
        assert limiter.reserve(5) == 0
        for _ in range(3):
            with pytest.raises(VaultRateLimited, match=r"rate_limit_share.*60\.0 seconds") as caught:
                limiter.reserve(5)
        assert caught.value.retry_after == 60
        clock.now += 58
        assert limiter.reserve(5) == 2

    def test_threads(self):
        """Threads that ask together get as many turns as there are."""
        limiter = RateLimiter(50)
        outcomes = []

        def ask():
            for _ in range(10):
                try:
                    limiter.acquire(Deadline(1))
                    outcomes.append(True)
                except VaultRateLimited:
                    outcomes.append(False)

        _together(ask, 8)
        assert (outcomes.count(True), outcomes.count(False)) == (50, 30)

    def test_waits(self):
        """A turn that is near is waited for."""
        clock = Clock()
        limiter = RateLimiter(1, clock)
        limiter.reserve(0)
        clock.now += 59.5
        began = time.monotonic()
        limiter.acquire(Deadline(1))
        assert time.monotonic() - began >= 0.45

    async def test_waits_beside_the_event_loop(self):
        """Async code waits for its turn without holding up the event loop."""
        with scripted_server() as server:
            server.answer(Reply(DECRYPTED))
            vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, rate_limit_share=1 / 6000)
            clock = Clock()
            vault._limiter = RateLimiter(1, clock)
            vault._limiter.reserve(0)
            clock.now += 59.5
            began = time.monotonic()
            call = asyncio.create_task(vault.adecrypt_data_key(b"x"))
            ticks = 0
            while not call.done():
                ticks += 1
                await asyncio.sleep(0.005)
            assert ticks >= 2
            assert time.monotonic() - began >= 0.45
            assert (await call).id == "key_1"
            vault.close()

    def test_vault(self):
        """A vault keeps to its share and says so, without a request."""
        with scripted_server() as server:
            server.answer(Reply(DECRYPTED))
            vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, rate_limit_share=2 / 6000)
            vault.decrypt_data_key(b"x")
            asyncio.run(vault.adecrypt_data_key(b"x"))
            with pytest.raises(VaultRateLimited, match="Not sent"):
                vault.decrypt_data_key(b"x")
            with pytest.raises(VaultRateLimited, match="Not sent"):
                asyncio.run(vault.adecrypt_data_key(b"x"))
            assert vault.requests_made == len(server.asked) == 2
            vault.close()


@pytest.fixture
def budget():
    """A budget of its own for a test, in a Redis that has to be there."""
    redis = pytest.importorskip("redis")
    try:
        with redis.Redis.from_url(REDIS, socket_connect_timeout=0.5) as client:
            client.ping()
    except redis.RedisError:
        pytest.skip(f"needs Redis at {REDIS}")
    return uuid4().hex


class TestFleet:
    def test_one_budget(self, budget):
        """Two clients of one budget have together what one would have alone."""
        one, other = (FleetLimiter(RateLimiter(5), Carried(REDIS), budget) for _ in range(2))
        for limiter in (one, other, one, other, one):
            limiter.acquire(Deadline(1))
        for limiter in (one, other):
            with pytest.raises(VaultRateLimited) as caught:
                limiter.acquire(Deadline(1))
            assert 50 < caught.value.retry_after <= 60

    async def test_async(self, budget):
        """Async code draws on the same budget."""
        with scripted_server() as server:
            server.answer(Reply(DECRYPTED))
            vault = WorkOSVault(
                api_key=f"sk_test_{budget}",
                base_url=server.url,
                rate_limit_share=3 / 6000,
                rate_limit_store=REDIS,
            )
            outcomes = await asyncio.gather(
                *(vault.adecrypt_data_key(b"x") for _ in range(5)), return_exceptions=True
            )
            vault.close()
        assert (
            sorted(type(outcome).__name__ for outcome in outcomes)
            == ["DataKey"] * 3 + ["VaultRateLimited"] * 2
        )

    def test_first_come_first_served(self):
        """Callers of a process get turns in the order in which they came; who gives up holds up nobody."""
        line = _Line()
        first, second, third = (line.join() for _ in range(3))
        assert (first.done(), second.done(), third.done()) == (True, False, False)
        line.leave(second)
        assert not third.done()
        line.leave(first)
        assert third.done()

    def test_waits_for_a_turn(self, budget):
        """A turn that comes before the deadline is waited for; who cannot wait so long is told, and gone."""
        limiter = FleetLimiter(RateLimiter(1), Carried(REDIS), budget, window=1)
        limiter.acquire(Deadline(1))
        waiting = threading.Thread(target=limiter.acquire, args=(Deadline(5),))
        waiting.start()
        while not limiter._line._waiting:
            time.sleep(0.001)
        with pytest.raises(VaultRateLimited, match="Not sent"):
            limiter.acquire(Deadline(0.05))
        limiter.acquire(Deadline(5))
        waiting.join()
        assert not limiter._line._waiting

    def test_store_is_down(self, caplog):
        """Without its store a process keeps to the share by itself, warns once, and shows no password."""
        pytest.importorskip("limits")
        limiter = FleetLimiter(RateLimiter(3), Carried("redis://:pa55word@127.0.0.1:9/0"), "x")
        for _ in range(3):
            limiter.acquire(Deadline(5))
        with pytest.raises(VaultRateLimited):
            limiter.acquire(Deadline(5))
        assert len(caplog.records) == 1
        assert "rate_limit_store" in caplog.text
        assert "pa55word" not in caplog.text

    def test_vault_option(self, budget):
        """Two vaults with one API key and one store share their requests."""
        key = f"sk_test_{budget}"
        with scripted_server() as server:
            server.answer(Reply(DECRYPTED))
            vaults = [
                WorkOSVault(
                    api_key=key, base_url=server.url, rate_limit_share=2 / 6000, rate_limit_store=REDIS
                )
                for _ in range(3)
            ]
            vaults[0].decrypt_data_key(b"x")
            vaults[1].decrypt_data_key(b"x")
            with pytest.raises(VaultRateLimited):
                vaults[2].decrypt_data_key(b"x")
            assert len(server.asked) == 2
            for vault in vaults:
                vault.close()

    @pytest.mark.parametrize(
        "store",
        [
            "127.0.0.1:6379",
            "memory://",
            6379,
            "",
            "redis://:hunter2@host:port/0",
            "redis://:hunter2@host/0?no_such_option=1",
            "redis://:hunter2@host/0?socket_timeout=hunter2",
            "redis://:hunter2@[host/0",
        ],
    )
    def test_bad_store(self, store):
        """Anything but a Redis address is a configuration error, which does not tell the password."""
        with pytest.raises(InvalidVaultConfiguration, match="rate_limit_store") as caught:
            WorkOSVault(api_key="sk_test_x", rate_limit_store=store)
        ours = traceback.walk_tb(caught.tb.tb_next)
        frames = "".join(traceback.StackSummary.extract(ours, capture_locals=True).format())
        assert "hunter2" not in f"{frames} {caught.value} {caught.value.__context__}"


def _together(work, count):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
