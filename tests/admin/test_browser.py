"""The masked admin in a real browser: Chromium, headless, where it is installed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.fields import stored_cell
from django_workos_vault.masks import FULL
from example_project.models import Organization, Patient
from tests.admin.chromium import chromium, needs_chromium
from tests.admin.test_outage import fail, recover
from tests.admin.test_types import VALUES, cells
from tests.app.models import Person, Questionnaire
from tests.forms.test_inputs import UNREADABLE

pytestmark = [
    pytest.mark.slow,
    needs_chromium,
    pytest.mark.django_db(transaction=True),
    # What Django 5.2 says of every URLField in a form.
    pytest.mark.filterwarnings("ignore:The default scheme will be changed"),
]
SSN, EMAIL, NOTES = "123-45-6789", "ada.lovelace@private.example", "a note nobody may read"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium("--window-size=1280,1000") as browser:
        yield browser


@pytest.fixture
def patient(browser: Any, live_server: Any, admin_client: Client) -> Patient:
    """A patient, and a browser that is logged in."""
    organization = Organization.objects.create(name="Clinic", workos_id="org_1")
    patient = Patient.objects.create(organization=organization, name="Ada", ssn=SSN, email=EMAIL, notes=NOTES)
    browser.get(f"{live_server.url}/admin/login/")
    browser.add_cookie({"name": "sessionid", "value": admin_client.cookies["sessionid"].value})
    return patient


def look(browser: Any, name: str) -> None:
    """The page as the browser has it holds no plaintext. ``VAULT_TEST_SCREENSHOTS`` keeps pictures."""
    html = browser.execute_script("return document.documentElement.outerHTML")
    values = browser.execute_script(
        "return [...document.querySelectorAll('input, textarea')].map(i => i.value)"
    )
    assert not [secret for secret in (SSN, EMAIL, NOTES) if secret in html or secret in values]
    if folder := os.environ.get("VAULT_TEST_SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_listing_and_editing_a_patient(browser: Any, live_server: Any, patient: Patient) -> None:
    """The list is masked; the form is blank; saving it changes what was typed and nothing else."""
    browser.get(f"{live_server.url}/admin/clinic/patient/")
    row = browser.find_element(By.CSS_SELECTOR, "#result_list tbody tr").text
    assert "•••• 6789" in row
    assert "a••••@••••.example" in row
    assert FULL in row
    look(browser, "list")

    browser.find_element(By.LINK_TEXT, "Ada").click()
    ssn = browser.find_element(By.NAME, "ssn")
    assert (ssn.get_attribute("value"), ssn.get_attribute("placeholder")) == (
        "",
        "•••• 6789",
    )
    look(browser, "form")
    before = {name: stored_cell(patient, name) for name in ("ssn", "email", "notes")}
    browser.find_element(By.NAME, "email").send_keys("ada@new.example")
    browser.find_element(By.NAME, "_continue").click()
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CLASS_NAME, "success"))
    look(browser, "saved")

    saved = Patient.objects.get()
    assert saved.email == "ada@new.example"
    assert {name: stored_cell(saved, name) for name in ("ssn", "notes")} == {
        name: before[name] for name in ("ssn", "notes")
    }


def test_an_error_in_another_field(browser: Any, live_server: Any, patient: Patient) -> None:
    """The page says that what was typed has to be typed again, instead of sending it back."""
    browser.get(f"{live_server.url}/admin/clinic/patient/{patient.pk}/change/")
    browser.find_element(By.NAME, "ssn").send_keys("987-65-4321")
    browser.find_element(By.NAME, "email").send_keys("no address")
    browser.find_element(By.ID, "notes-clear_id").click()
    browser.find_element(By.NAME, "_save").click()
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CLASS_NAME, "errornote"))
    look(browser, "error")
    assert "987-65-4321" not in browser.page_source
    assert browser.find_element(By.NAME, "notes-clear").is_selected()
    assert Patient.objects.get().ssn == SSN


@pytest.mark.parametrize("page", ["add", "change"])
def test_what_cannot_be_read_arrives_and_is_refused(
    browser: Any, live_server: Any, patient: Patient, page: str
) -> None:
    """A browser posts nothing for what it cannot read in a number input; every such answer is an error."""
    row = Questionnaire.objects.create(**VALUES)
    before = cells(row)
    address = f"{row.pk}/change" if page == "change" else "add"
    browser.get(f"{live_server.url}/admin/app/questionnaire/{address}/")
    typed = {name: text for name, text in UNREADABLE.items() if name not in ("choice", "maybe")}
    for name, text in typed.items():
        browser.find_element(By.NAME, name).send_keys(text)
    save_without_the_browsers_own_checks(browser)
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CLASS_NAME, "errornote"))
    for name in typed:
        row_class = f".field-{name.partition('_')[0]} .errorlist"
        assert browser.find_elements(By.CSS_SELECTOR, row_class), name
    assert cells(row) == before
    assert Questionnaire.objects.count() == 1


def test_one_number_that_cannot_be_read(browser: Any, live_server: Any, patient: Patient) -> None:
    """The case that was lost: nothing else is entered, and the page does not say that it was saved."""
    row = Questionnaire.objects.create(**VALUES)
    browser.get(f"{live_server.url}/admin/app/questionnaire/{row.pk}/change/")
    browser.find_element(By.NAME, "number").send_keys("12e")
    save_without_the_browsers_own_checks(browser)
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CSS_SELECTOR, ".field-number .errorlist"))
    assert "Enter a whole number" in browser.find_element(By.CSS_SELECTOR, ".field-number").text
    assert Questionnaire.objects.get().number == VALUES["number"]


@pytest.mark.parametrize("page", ["add", "change"])
def test_what_was_typed_in_an_outage_is_sent_again_by_reloading(
    browser: Any, live_server: Any, patient: Patient, remote_vault: RunningEmulator, page: str
) -> None:
    """The page holds nothing of it; the browser does, and sends it once more."""
    row = Person.objects.create(name="Ada", ssn=SSN, email=EMAIL, notes=NOTES)
    address = f"{row.pk}/change" if page == "change" else "add"
    browser.get(f"{live_server.url}/admin/app/person/{address}/")
    for name, text in {"ssn": "987-65-4321", "email": "grace@new.example"}.items():
        browser.find_element(By.NAME, name).send_keys(text)
    name = browser.find_element(By.NAME, "name")
    name.clear()
    name.send_keys("Grace")
    fail(remote_vault)
    browser.find_element(By.NAME, "_save").click()
    WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CLASS_NAME, "errornote"))
    assert "reload this page to send it again" in browser.page_source
    assert browser.find_element(By.NAME, "name").get_attribute("value") == "Grace"
    for typed in ("987-65-4321", "grace@new.example"):
        assert typed not in browser.page_source
    look(browser, "outage")
    recover(remote_vault)
    browser.refresh()
    WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CLASS_NAME, "success"))
    saved = Person.objects.get(name="Grace")
    assert (saved.ssn, saved.email) == ("987-65-4321", "grace@new.example")
    assert Person.objects.count() == (1 if page == "change" else 2)


def save_without_the_browsers_own_checks(browser: Any) -> None:
    """As the admin's forms are sent; a missing answer is not what is tried out."""
    browser.execute_script("document.querySelector('form#questionnaire_form').noValidate = true")
    browser.find_element(By.NAME, "_save").click()
