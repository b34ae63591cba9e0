"""What goes wrong when it is told to: failures, latency, the rate limit."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.emulator.asking import CONTEXT, create_data_key, refused


def test_the_next_requests_fail(vault_emulator, http):
    """``fail_next`` fails as many requests as it says, with the status and header that it is told."""
    vault_emulator.faults.fail_next = 2
    vault_emulator.faults.retry_after = "1"
    for _ in range(2):
        answer = http.post("/vault/v1/keys/data-key", json={"context": CONTEXT})
        assert refused(answer, 503)
        assert answer.headers["Retry-After"] == "1"
    create_data_key(http)


def test_a_share_of_the_requests_fails(http):
    """``fail`` is a share, evenly spread, and can be set over HTTP; reading the events never fails."""
    assert http.post("/_emulator/faults", json={"fail": 0.25, "fail_status": 500}).status_code == 200
    statuses = [http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}).status_code for _ in range(8)]
    assert statuses == [200, 200, 200, 500] * 2
    http.post("/_emulator/faults", json={"fail": 1})
    assert refused(http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}), 500)
    assert http.get("/_emulator/events").status_code == 200
    assert http.get("/_emulator/faults").json()["fail"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"fail": 2},
        {"fail": "all"},
        {"latency": -1},
        {"fail_status": 200},
        {"retry_after": "∞"},
        {"speed": 1},
        {"_due": 1},
    ],
)
def test_a_fault_setting_that_does_not_exist_is_422(http, settings):
    """Names and values are checked, and nothing is changed."""
    before = http.get("/_emulator/faults").json()
    assert refused(http.post("/_emulator/faults", json={"fail_next": 1, **settings}), 422)
    assert http.get("/_emulator/faults").json() == before


def test_the_rate_limit(vault_emulator, http):
    """Requests over the limit get 429 and are told how many seconds to wait."""
    vault_emulator.faults.rate_limit = 2
    create_data_key(http)
    create_data_key(http)
    answer = http.post("/vault/v1/keys/data-key", json={"context": CONTEXT})
    assert refused(answer, 429)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_latency_delays_an_answer_but_not_the_others(vault_emulator, http):
    """Slow requests wait side by side."""
    vault_emulator.faults.latency = 1
    started = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: create_data_key(http), range(8)))
    assert 1 <= time.monotonic() - started < 8
