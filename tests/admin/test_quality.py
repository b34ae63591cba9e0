"""Our pages in Chromium: accessible, dark, 400 pixels wide, under a strict policy and without scripts."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.selenium import Axe
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from django_workos_vault.maintenance.engine import runs
from django_workos_vault.maintenance.inspection import Finding
from django_workos_vault.models import AccessRecord, MaintenanceRun
from django_workos_vault.overview.findings import keep_findings
from example_project.models import Organization, Patient
from tests.admin.chromium import chromium, keep_picture, needs_chromium, violations
from tests.admin.policy import POLICY

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.django_db(transaction=True)]
SSN, EMAIL, NOTES = "123-45-6789", "ada.lovelace@private.example", "a note nobody may read"


@pytest.fixture(scope="module")
def with_scripts() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def without_scripts() -> Iterator[Any]:
    with chromium(**{"profile.managed_default_content_settings.javascript": 2}) as browser:
        yield browser


@pytest.fixture
def patient() -> Patient:
    """Patients, a run that is half done, findings, and a week of access records."""
    for number, name in enumerate(("Northside", "Harbour")):
        organization = Organization.objects.create(name=name, workos_id=f"org_{number}")
        Patient.objects.bulk_create(
            Patient(organization=organization, name=f"{first} Lovelace", ssn=SSN, email=EMAIL, notes=NOTES)
            for first in ("Ada", "Byron", "Clara")
        )
    fields: Any = [Patient._meta.get_field("ssn")]
    run = runs.begin(fields, "reseal", using="default")
    run.chunks.create(ordinal=0, model="clinic.Patient", rows_done=3)
    MaintenanceRun.objects.filter(pk=run.pk).update(rows_estimate=6)
    keep_findings(
        [
            Finding("vault", "default", "ok", "A round trip works."),
            Finding(
                "columns",
                "clinic.Patient.notes",
                "problem",
                "6 of 6 rows: 1 cells cannot be opened.",
                "docs/commands.md says what each reason means and what to do.",
            ),
        ]
    )
    actions = ("reveal", "match", "reveal", "denied", "export")
    now = timezone.now()
    AccessRecord.objects.bulk_create(
        AccessRecord(
            sequence=n, at=now - timedelta(days=n * n % 7), action=actions[n % 5], mac="", previous=""
        )
        for n in range(1, 30)
    )
    return Patient.objects.earliest("pk")


@pytest.fixture
def support(client: Client) -> Client:
    """Somebody who looks after patients and vaults, logged in."""
    user = User.objects.create_user("grace", is_staff=True)
    names = (
        "add_patient",
        "change_patient",
        "view_patient",
        "view_plaintext_patient",
        "match_plaintext_patient",
    )
    names += ("view_organization", "view_vaultcheck", "change_maintenancerun", "view_accessrecord")
    ours = Permission.objects.filter(content_type__app_label__in=("clinic", "django_workos_vault"))
    user.user_permissions.set(ours.filter(codename__in=names))
    client.force_login(user)
    return client


@pytest.fixture
def visit(live_server: Any, support: Client, patient: Patient) -> Callable[[Any, str], Any]:
    """Visits a page of the live site, logged in, and returns the browser."""

    def go(browser: Any, page: str) -> Any:
        browser.get(f"{live_server.url}/static/admin/css/base.css")  # a page of the site, for the cookie
        browser.add_cookie({"name": "sessionid", "value": support.cookies["sessionid"].value})
        violations(browser)
        browser.get(live_server.url + PAGES[page].format(patient.pk))
        return browser

    return go


PAGES = {
    "list": "/admin/clinic/patient/",
    "form": "/admin/clinic/patient/{}/change/",
    "add": "/admin/clinic/patient/add/",
    "vault": "/admin/django_workos_vault/vaultcheck/",
    "records": "/admin/django_workos_vault/accessrecord/",
}


#: those of the pages that the documentation shows
PICTURES = ("list", "form", "form-dark", "vault")


def choose(browser: Any, theme: str, width: int, height: int = 860) -> None:
    """Light or dark, as a visitor's system asks for it, and a window of a size."""
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def told_by_axe(browser: Any) -> dict[str, list[str]]:
    """The rules that the page breaks, with the elements that break them."""
    found = Axe().run(browser)["violations"]
    return {each["id"]: [node["html"][:200] for node in each["nodes"]] for each in found}


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 400)])
def test_every_page(with_scripts: Any, visit: Any, theme: str, width: int) -> None:
    """axe finds nothing, the policy is kept, nothing is wider than the window, and no value is there."""
    choose(with_scripts, theme, width)
    for page in PAGES:
        browser = visit(with_scripts, page)
        assert browser.execute_script("return document.body.scrollWidth") <= width, page
        assert violations(browser) == [], page
        html = browser.execute_script("return document.documentElement.outerHTML")
        assert not [secret for secret in (SSN, EMAIL, NOTES) if secret in html]
        picture = page if theme == "light" else f"{page}-{theme}"
        if picture in PICTURES:
            keep_picture(browser, picture)
        assert told_by_axe(browser) == {}, page


def test_the_policy_is_one(with_scripts: Any, visit: Any) -> None:
    """An inline script and an inline style break it, and the browser's log tells."""
    browser = visit(with_scripts, "list")
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = '1'; document.body.append(s);"
        "document.body.setAttribute('style', 'color: red')"
    )
    assert len([message for message in violations(browser) if "Content Security Policy" in message]) == 2


def test_without_scripts(without_scripts: Any, visit: Any, patient: Patient) -> None:
    """Kept, replaced and cleared by plain forms; a run is paused, and cancelled behind one more click."""
    browser = visit(without_scripts, "form")
    browser.find_element(By.NAME, "email").send_keys("ada@new.example")
    browser.find_element(By.NAME, "notes-clear").click()
    browser.find_element(By.NAME, "_save").click()
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CLASS_NAME, "success"))
    saved = Patient.objects.get(pk=patient.pk)
    assert (saved.ssn, saved.email, saved.notes) == (SSN, "ada@new.example", "")

    browser = visit(without_scripts, "vault")
    run = MaintenanceRun.objects.get()
    cancel = f"//button[contains(., 'Cancel run {run.pk}')]"
    assert not browser.find_element(By.XPATH, cancel).is_displayed()
    browser.find_element(By.XPATH, f"//button[contains(., 'Pause run {run.pk}')]").click()
    WebDriverWait(browser, 10).until(lambda b: b.find_elements(By.CLASS_NAME, "success"))
    assert MaintenanceRun.objects.get().state == "paused"
    browser.find_element(By.TAG_NAME, "summary").click()
    browser.find_element(By.XPATH, cancel).click()  # the page before has a message of success, too
    WebDriverWait(browser, 10).until(lambda _: MaintenanceRun.objects.get().state == "cancelled")


def test_the_header(admin_client: Client) -> None:
    """Every page of the test site has the policy."""
    assert admin_client.get(PAGES["list"])["Content-Security-Policy"] == POLICY


def test_the_pictures_in_the_documentation_are_these() -> None:
    """Each is made by a test of the admin, and shown."""
    here, docs = Path(__file__).parent, Path(__file__).resolve().parents[2] / "docs"
    tests = "".join(path.read_text() for path in here.glob("*.py"))
    pages = "".join(path.read_text() for path in docs.glob("*.md"))
    pictures = {path.stem for path in (docs / "images").glob("*.png")}
    assert set(PICTURES) <= pictures
    assert [name for name in pictures if f'"{name}"' not in tests or f"images/{name}.png" not in pages] == []
