"""Revealing in a real browser: the dialog, the clock, keyboard, a strict policy of content, no JavaScript."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.admin.chromium import chromium, needs_chromium
from tests.admin.revealing import EMAIL, NOTES, SSN, person, records, staff
from tests.admin.test_quality import told_by_axe
from tests.app.models import Person
from tests.settings import MIDDLEWARE

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.django_db(transaction=True),
]
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"


def strict(get_response: Any) -> Any:
    """A middleware that forbids every script and style that is no file of the site."""

    def answer(request: Any) -> Any:
        response = get_response(request)
        response["Content-Security-Policy"] = f"{POLICY}; form-action 'self'; base-uri 'none'"
        return response

    return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--window-size=1280,1000") as browser:
        yield browser


@pytest.fixture(scope="module")
def live_server(django_db_setup: None) -> Iterator[LiveServer]:
    """One that sends the strict policy with every page."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.strict"]):
        server = LiveServer("localhost")
    yield server
    server.stop()


@pytest.fixture
def row() -> Person:
    return person()


def log_in(browser: Any, server: Any, user: User) -> None:
    client = Client()
    client.force_login(user)
    browser.get(f"{server.url}/admin/login/")
    browser.get_log("browser")
    browser.delete_all_cookies()
    browser.add_cookie({"name": "sessionid", "value": client.cookies["sessionid"].value})


@pytest.fixture
def support(browser: Any, live_server: Any, row: Person) -> Any:
    """A browser of somebody who may see, on the page of the row."""
    log_in(browser, live_server, staff("view_person", "view_plaintext_person"))
    browser.get(f"{live_server.url}/admin/app/person/{row.pk}/change/")
    return browser


def wait(browser: Any, what: str) -> Any:
    return WebDriverWait(browser, 10).until(lambda b: b.find_element(By.CSS_SELECTOR, what))


def html(browser: Any) -> str:
    return str(browser.execute_script("return document.documentElement.outerHTML"))


def open_dialog(browser: Any, field: str = "ssn") -> Any:
    browser.find_element(By.CSS_SELECTOR, f"a.vault-reveal[href$='/{field}/']").click()
    return wait(browser, "dialog[open] form")


def reveal(browser: Any, field: str = "ssn") -> Any:
    form = open_dialog(browser, field)
    form.find_element(By.NAME, "reason").send_keys("ticket 4711", Keys.ENTER)
    return wait(browser, "dialog[open] [data-vault-value]")


def violations(browser: Any) -> list[str]:
    """What the browser said against scripts and styles; of a page that is gone, too."""
    return [
        entry["message"] for entry in browser.get_log("browser") if "Content Security" in entry["message"]
    ]


def test_a_value_is_shown_and_masked_again(support: Any, settings: Any) -> None:
    """By the clock: the value leaves the page, the dialog says so, and another reveal is another record."""
    settings.WORKOS_VAULT_ADMIN = {"REVEAL_FOR": timedelta(seconds=2)}
    assert SSN not in html(support)
    assert reveal(support).text == SSN
    assert not [secret for secret in (NOTES, EMAIL) if secret in html(support)]
    wait(support, "[data-vault-masked]:not([hidden])")
    assert SSN not in html(support)
    assert records("action", "reason") == [("reveal", "ticket 4711")]
    support.find_element(By.CSS_SELECTOR, "[data-vault-close]").click()
    assert not support.find_elements(By.CSS_SELECTOR, "dialog[open]")
    assert reveal(support, "email").text == EMAIL
    assert len(records()) == 2
    assert violations(support) == []


def test_the_policy_is_in_force(support: Any) -> None:
    """An inline script does not run here, and would be told by what the other tests look at."""
    support.execute_script(
        "const s = document.createElement('script');s.textContent = 'window.ran = 1'; document.body.append(s)"
    )
    assert support.execute_script("return window.ran") is None
    assert violations(support)


def test_a_tab_that_slept_is_masked_when_it_wakes(support: Any) -> None:
    """No timer runs meanwhile; the wall clock tells how long it was."""
    assert reveal(support).text == SSN
    support.execute_script("for (let timer = 0; timer < 10000; timer += 1) clearInterval(timer)")
    support.execute_script(
        "const now = Date.now; Date.now = () => now() + 20000;"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert SSN in html(support)
    support.execute_script(
        "const now = Date.now; Date.now = () => now() + 11000;"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    assert SSN not in html(support)


LEAVE = "dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))"


def test_leaving_the_page_takes_the_value_along(support: Any) -> None:
    """Also out of what a browser keeps of a page to go back to."""
    reveal(support)
    support.execute_script(LEAVE)
    assert SSN not in html(support)


def test_leaving_the_page_takes_along_what_was_typed(support: Any) -> None:
    """A browser keeps a form as it was left."""
    support.find_element(By.CSS_SELECTOR, "a.vault-reveal[href$='/ssn/']").click()
    reason = wait(support, "dialog[open] form input[name=reason]")
    reason.send_keys("ticket 4711")
    support.execute_script(LEAVE)
    assert reason.get_property("value") == ""


@pytest.mark.parametrize("by", ["escape", "button"])
def test_closing_masks_and_returns(support: Any, by: str) -> None:
    """The keyboard is enough: focus is in the dialog, and then on the button it came from."""
    link = support.find_element(By.CSS_SELECTOR, "a.vault-reveal[href$='/ssn/']")
    assert link.get_attribute("role") == "button"
    link.send_keys(Keys.SPACE)
    wait(support, "dialog[open] form")
    assert support.switch_to.active_element.get_attribute("name") == "reason"
    support.switch_to.active_element.send_keys(Keys.ENTER)
    value = wait(support, "dialog[open] [data-vault-value]")
    assert support.switch_to.active_element == value
    assert value.get_attribute("aria-label")
    if by == "escape":
        value.send_keys(Keys.ESCAPE)
    else:
        support.find_element(By.CSS_SELECTOR, "[data-vault-close]").click()
    WebDriverWait(support, 10).until(lambda b: SSN not in html(b))
    assert support.switch_to.active_element == link


def test_copying(support: Any, live_server: Any) -> None:
    """The copy is the value; the page says that it was made."""
    grant = {"permission": {"name": "clipboard-write"}, "setting": "granted", "origin": live_server.url}
    support.execute_cdp_cmd("Browser.setPermission", grant)
    support.execute_cdp_cmd("Browser.setPermission", {**grant, "permission": {"name": "clipboard-read"}})
    reveal(support)
    support.find_element(By.CSS_SELECTOR, "[data-vault-copy]").click()
    wait(support, "[data-vault-copied]:not([hidden])")
    read = "navigator.clipboard.readText().then(arguments[0], () => arguments[0]('refused'))"
    assert support.execute_async_script(read) == SSN


def test_comparing(support: Any) -> None:
    """Enter in the input of what the caller says compares, and does not reveal."""
    open_dialog(support)
    support.find_element(By.NAME, "said").send_keys(SSN, Keys.ENTER)
    told = wait(support, "dialog[open] .vault-message")
    assert told.text == "Yes, it is the same."
    assert SSN not in html(support)
    assert records() == [("match", "yes")]


def test_a_refusal_is_told_in_the_dialog(support: Any, row: Person) -> None:
    """Of a row that is gone meanwhile, say."""
    form = open_dialog(support)
    Person.objects.all().delete()
    form.find_element(By.NAME, "reason").send_keys(Keys.ENTER)
    assert "no such row" in wait(support, "dialog[open] [role=alert]").text


def test_who_was_logged_out_is_sent_to_log_in(support: Any) -> None:
    """The dialog has nothing to show; the page has."""
    support.delete_all_cookies()
    support.find_element(By.CSS_SELECTOR, "a.vault-reveal[href$='/ssn/']").click()
    wait(support, "input[name=username]")


def test_who_may_not_see_has_no_button(browser: Any, live_server: Any, row: Person) -> None:
    """And gets a message at the address."""
    log_in(browser, live_server, staff("view_person", name="viewer"))
    browser.get(f"{live_server.url}/admin/app/person/{row.pk}/change/")
    assert not browser.find_elements(By.CSS_SELECTOR, "a.vault-reveal")
    browser.get(f"{live_server.url}/admin/app/person/{row.pk}/reveal/ssn/")
    assert "You may not see this value." in browser.page_source


def test_dark_and_narrow(support: Any) -> None:
    """At 400 pixels nothing sticks out of the window; in the dark the dialog is dark."""
    support.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    support.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    try:
        reveal(support)
        measured = support.execute_script(
            "const d = document.querySelector('dialog'), b = d.getBoundingClientRect();"
            "const s = getComputedStyle(d);"
            "return [b.left, b.right, d.scrollWidth - d.clientWidth, s.backgroundColor, s.color]"
        )
        left, right, beyond, background, colour = measured
        assert left >= 0
        assert right <= 400
        assert beyond == 0
        assert sum(json.loads(f"[{background[4:-1]}]")) < sum(json.loads(f"[{colour[4:-1]}]"))
    finally:
        support.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        support.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(support: Any, live_server: Any, row: Person, theme: str) -> None:
    """In the dialog that asks, with a value, with an answer; on the plain pages, and where one may not."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    support.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        open_dialog(support)
        assert told_by_axe(support) == {}
        support.find_element(By.NAME, "reason").send_keys(Keys.ENTER)
        wait(support, "dialog[open] [data-vault-value]")
        assert told_by_axe(support) == {}
        for field in ("ssn", "name"):
            support.get(f"{live_server.url}/admin/app/person/{row.pk}/reveal/{field}/")
            assert told_by_axe(support) == {}, field
    finally:
        support.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_javascript(live_server: Any, row: Person, settings: Any) -> None:
    """A link, a page that asks, a page with the value, and the browser goes back to the one that asks."""
    settings.WORKOS_VAULT_ADMIN = {"REVEAL_FOR": timedelta(seconds=3)}
    with chromium(**{"profile.managed_default_content_settings.javascript": 2}) as browser:
        log_in(browser, live_server, staff("view_person", "view_plaintext_person"))
        browser.get(f"{live_server.url}/admin/app/person/{row.pk}/change/")
        browser.find_element(By.CSS_SELECTOR, "a.vault-reveal[href$='/ssn/']").click()
        browser.find_element(By.CSS_SELECTOR, "form[data-vault-form] button").click()
        assert browser.find_element(By.CSS_SELECTOR, "[data-vault-value]").text == SSN
        WebDriverWait(browser, 10).until(lambda b: SSN not in b.page_source)
        assert browser.find_elements(By.CSS_SELECTOR, "form[data-vault-form]")
        assert records() == [("reveal", "")]


def test_the_plain_page_with_javascript(support: Any, live_server: Any, row: Person, settings: Any) -> None:
    """Opened in a tab of its own it masks by the clock as well."""
    settings.WORKOS_VAULT_ADMIN = {"REVEAL_FOR": timedelta(seconds=2)}
    support.get(f"{live_server.url}/admin/app/person/{row.pk}/reveal/ssn/")
    support.find_element(By.CSS_SELECTOR, "form[data-vault-form] button").click()
    assert wait(support, "[data-vault-value]").text == SSN
    WebDriverWait(support, 10).until(lambda b: SSN not in html(b))
    assert violations(support) == []
