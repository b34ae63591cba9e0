"""When a request is sent again, and how long the client waits before it is."""

import subprocess
import sys
import time

import pytest
import stamina
from stamina.instrumentation import RetryDetails

from django_workos_vault.backends.retries import (
    JITTER,
    AttemptFailed,
    Deadline,
    RetryRule,
    retry_after_seconds,
)
from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import VaultRateLimited, VaultUnavailable
from tests.scripted import Reply, scripted_server

WRAPPED = b"WOS.EKM.v1\x00blob"
DECRYPTED = {"id": "key_1", "data_key": "A" * 42 + "E="}
DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("header", "date", "seconds"),
        [
            ("7", None, 7.0),
            (" 0 ", None, 0.0),
            ("Sun, 22 Nov 2026 10:00:30 GMT", DATE, 30.0),
            ("Sunday, 22-Nov-26 10:00:30 GMT", DATE, 30.0),
            ("Sun Nov 22 10:00:30 2026", DATE, 30.0),
            ("Sun, 22 Nov 2026 09:00:00 GMT", DATE, 0.0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None, 0.0),
            (None, DATE, None),
            ("soon", DATE, None),
            ("-5", DATE, None),
            ("9" * 400, DATE, None),
            ("", DATE, None),
        ],
    )
    def test_forms(self, header, date, seconds):
        """Seconds and the three forms of an HTTP date are understood, by the server's clock, and no more."""
        assert retry_after_seconds(header, date) == seconds

    def test_waits_as_told(self):
        """Vault's own wish is kept and spread out a little; it is never cut short."""
        rule = RetryRule(Deadline(60), repeatable=True)
        failed = AttemptFailed(VaultRateLimited("x"), carried_out=False, retry_after=7)
        waits = [rule(failed) for _ in range(20)]
        assert all(7 <= wait <= 7 + JITTER for wait in waits)
        assert len(set(waits)) > 1

    def test_longer_than_the_deadline(self, server):
        """A wait that would outlast the deadline is not begun: the error comes at once and tells the wait."""
        server.answer(Reply({"error": "slow down"}, 429, {"Retry-After": "60"}))
        vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, deadline=10)
        began = time.monotonic()
        with pytest.raises(VaultRateLimited, match=r"429.*slow down") as caught:
            vault.decrypt_data_key(WRAPPED)
        assert caught.value.retry_after == 60
        assert time.monotonic() - began < 10
        assert vault.requests_made == 1
        vault.close()

    def test_without_one(self, server):
        """A 429 that names no time is tried again after a backoff; the error then knows no time either."""
        server.answer(Reply(status=429))
        vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, deadline=10)
        with stamina.set_testing(True, attempts=2), pytest.raises(VaultRateLimited) as caught:
            vault.decrypt_data_key(WRAPPED)
        assert caught.value.retry_after is None
        assert vault.requests_made == 2
        vault.close()


class TestBackoff:
    @pytest.fixture
    def waits(self):
        """The waits that stamina announces, in seconds."""
        waits: list[float] = []

        def note(details: RetryDetails) -> None:
            waits.append(details.wait_for)

        before = stamina.instrumentation.get_on_retry_hooks()
        stamina.instrumentation.set_on_retry_hooks([note])
        yield waits
        stamina.instrumentation.set_on_retry_hooks(before)

    def test_honoured_on_the_wire(self, server, waits):
        """What Vault asks for in Retry-After is what is waited for, by sync code as it is."""
        server.answer(Reply(status=503, headers={"Retry-After": "0"}), Reply(status=503), Reply(DECRYPTED))
        vault = WorkOSVault(api_key="sk_test_x", base_url=server.url)
        assert vault.decrypt_data_key(WRAPPED).id == "key_1"
        assert 0 <= waits[0] <= JITTER
        assert 0.2 <= waits[1] <= 0.2 + JITTER
        vault.close()

    async def test_honoured_async(self, server, waits):
        """Async code waits in the same way."""
        server.answer(Reply(status=429, headers={"Retry-After": "0"}), Reply(DECRYPTED))
        vault = WorkOSVault(api_key="sk_test_x", base_url=server.url)
        assert (await vault.adecrypt_data_key(WRAPPED)).id == "key_1"
        assert 0 <= waits[0] <= JITTER
        vault.close()

    def test_total_deadline(self, server):
        """Attempts and waits together stay inside the deadline."""
        server.answer(Reply(status=500))
        vault = WorkOSVault(api_key="sk_test_x", base_url=server.url, deadline=0.8)
        began = time.monotonic()
        with pytest.raises(VaultUnavailable, match="status 500"):
            vault.decrypt_data_key(WRAPPED)
        assert time.monotonic() - began < 6  # eight attempts without a deadline would take seven seconds
        assert vault.requests_made >= 2
        vault.close()

    @pytest.mark.parametrize(
        ("carried_out", "repeatable", "again"),
        [
            (False, True, True),
            (False, False, True),
            (True, True, True),
            (True, False, False),
            (None, True, False),
            (None, False, False),
        ],
    )
    def test_rule(self, carried_out, repeatable, again):
        """A request is sent again when Vault cannot have acted on it, or when acting twice does no harm."""
        rule = RetryRule(Deadline(60), repeatable=repeatable)
        assert rule(AttemptFailed(VaultUnavailable("x"), carried_out=carried_out)) is again

    def test_foreign_error(self):
        """An error that is not about an attempt is never repeated."""
        assert RetryRule(Deadline(60), repeatable=True)(ValueError()) is False


def test_retries_write_nothing_to_a_bare_terminal() -> None:
    """Where no logging is configured, a record's message alone would be printed, and say nothing."""
    code = (
        "from django_workos_vault.backends.workos import WorkOSVault\n"
        "vault = WorkOSVault(api_key='sk_test_x', base_url='http://127.0.0.1:9', deadline=1)\n"
        "vault.create_data_key({'a': 'b'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "VaultUnavailable" in done.stderr
    assert "retry_scheduled" not in done.stderr
