"""``python docs/images/screenshots.py`` makes the pictures beside it, of three pages of the demo's admin.

Needs Chromium with its driver, and the extras ``demo`` and ``test``.
"""

import re
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

IMAGES = Path(__file__).resolve().parent
CHECKOUT = IMAGES.parents[1]
ADDRESS = "127.0.0.1:8765"
MANAGE = [sys.executable, "manage.py"]


def main() -> None:
    """Run the demo, serve its admin, look at three pages."""
    said = subprocess.run([*MANAGE, "demo"], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout  # noqa: S603
    password = re.findall(r"password +(\S+)", said)[0]
    server = subprocess.Popen([*MANAGE, "runserver", "--noreload", ADDRESS], cwd=CHECKOUT)  # noqa: S603
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--window-size=1500,860"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    try:
        wait_for_server()
        browser.get(f"http://{ADDRESS}/admin/clinic/patient/")
        browser.find_element(By.NAME, "username").send_keys("demo")
        browser.find_element(By.NAME, "password").send_keys(password + "\n")
        keep(browser, "list")
        browser.find_element(By.CSS_SELECTOR, "#result_list tbody th a").click()
        keep(browser, "form")
        browser.find_element(By.LINK_TEXT, "Vault").click()
        keep(browser, "vault")
    finally:
        browser.quit()
        server.terminate()
        server.wait()


def wait_for_server() -> None:
    """Until it answers."""
    for _ in range(100):
        try:
            urlopen(f"http://{ADDRESS}/admin/login/").close()
            return
        except OSError:
            time.sleep(0.1)


def keep(browser: webdriver.Chrome, name: str) -> None:
    """Store what the browser shows, in few colours."""
    picture = Image.open(BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.quantize(48, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
