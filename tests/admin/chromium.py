"""Chromium, headless, for the tests that drive it; they are skipped where it is not installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium import webdriver

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
needs_chromium = pytest.mark.skipif(
    not (CHROMIUM.exists() and DRIVER.exists()),
    reason=f"no browser test: {CHROMIUM} and {DRIVER} are not both there",
)


@contextmanager
def chromium(*arguments: str, **preferences: Any) -> Iterator[Any]:
    """A browser that is closed at the end. Its log has what broke the Content-Security-Policy."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *arguments):
        options.add_argument(argument)
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def violations(browser: Any) -> list[str]:
    """What the browser's log has, since it was last asked, of broken policies and failing scripts."""
    log = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in log if "favicon.ico" not in message]


def keep_picture(browser: Any, name: str) -> None:
    """Save a picture of the page, in few colours, in the folder that ``VAULT_TEST_SCREENSHOTS`` names.

    That is ``docs/images`` for those that the documentation shows.
    """
    if folder := os.environ.get("VAULT_TEST_SCREENSHOTS"):
        picture = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
        few = picture.quantize(48, dither=Image.Dither.NONE)
        few.save(Path(folder) / f"{name}.png", optimize=True)
