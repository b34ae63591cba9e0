"""A real browser plays a file that is stored sealed, and jumps about in it."""

import io
import math
import struct
import wave
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.base import ContentFile
from selenium.webdriver.support.ui import WebDriverWait

from tests.admin.chromium import chromium, needs_chromium
from tests.files.models import Scan
from tests.files.urls import asked

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.files.urls"),
]
SECONDS, RATE = 300, 44_100


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


def recording() -> bytes:
    """Five minutes of a tone, 26 MB: much more than a browser fetches ahead."""
    second = b"".join(struct.pack("<h", int(9000 * math.sin(at / 20))) for at in range(RATE))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(second * SECONDS)
    return out.getvalue()


def test_a_browser_plays_and_jumps(browser: Any, live_server: Any) -> None:
    """The player knows the length, plays, and jumps near the end by asking for a range there."""
    whole = recording()
    scan = Scan.objects.create(file=ContentFile(whole, name="visit.wav"))
    asked.clear()
    browser.get(f"{live_server.url}/player/{scan.pk}/")

    def player(script: str) -> Any:
        return browser.execute_script(f"return document.querySelector('video').{script}")

    def until(script: str) -> None:
        WebDriverWait(browser, 60).until(lambda _: player(script))

    until("readyState >= 2")
    assert round(player("duration")) == SECONDS
    player("play()")
    until("currentTime > 0.2")
    assert player("error") is None
    player("currentTime = 290")
    until("seeking === false && document.querySelector('video').currentTime > 290.2")
    starts = [int(each.removeprefix("bytes=").partition("-")[0]) for each in asked]
    assert max(starts) > len(whole) * 0.9
    assert browser.execute_async_script(
        "const done = arguments[0];"
        f"fetch('/scan/{scan.pk}/', {{headers: {{Range: 'bytes=-5'}}}})"
        ".then(async r => done([r.status, Array.from(new Uint8Array(await r.arrayBuffer()))]))"
    ) == [206, list(whole[-5:])]
