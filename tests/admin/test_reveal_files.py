"""A file of an encrypted file field is revealed as a download, through the same gate."""

import io
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.base import ContentFile
from django.db import OperationalError, connection
from django.test import Client, override_settings
from django.urls import clear_url_caches, path
from PIL import Image

from django_workos_vault import masks, vaults
from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.emulator import RunningEmulator
from tests.admin.revealing import logged_in, records
from tests.admin.test_outage import fail, recover
from tests.files.models import Portrait, Report, Scan

pytestmark = pytest.mark.django_db
SECRET = b"the left hand is broken"


class Sealed(MaskedAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    pass


desk = admin.AdminSite(name="desk")
desk.register(Scan, Sealed)
desk.register(Portrait, Sealed)
desk.register(Report, Sealed)
urlpatterns = [path("desk/", desk.urls), path("report/<uuid:pk>/", desk.index, name="report")]


@pytest.fixture(autouse=True)
def _desk(settings: Any, tmp_path: Any) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path
    settings.ROOT_URLCONF = __name__
    clear_url_caches()
    yield
    clear_url_caches()


@pytest.fixture
def scan() -> Scan:
    return Scan.objects.create(file=ContentFile(SECRET, "hand.txt"))


def user(*codenames: str) -> Client:
    from django.contrib.auth.models import Permission, User

    made = User.objects.create_user("-".join(codenames), is_staff=True)
    made.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return logged_in(made)


def where(row: Any, field: str = "file") -> str:
    return f"/desk/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/reveal/{field}/"


def body(answer: Any) -> bytes:
    return b"".join(answer) if answer.streaming else bytes(answer.content)


def test_a_download(scan: Scan) -> None:
    """The button is beside the input; the file comes with its name, for no cache, and is on record."""
    client = user("view_scan", "change_scan", "view_plaintext_scan")
    page = client.get(f"/desk/files/scan/{scan.pk}/change/").content.decode()
    assert f'href="{where(scan)}"' in page
    asked = client.get(where(scan)).content.decode()
    assert 'value="download"' in asked
    assert 'value="match"' not in asked
    answer = client.post(where(scan), {"verb": "download", "reason": "ticket"})
    assert body(answer) == SECRET
    assert answer.headers["Content-Disposition"] == 'attachment; filename="hand.txt"'
    assert "no-store" in answer.headers["Cache-Control"]
    assert records("action", "field", "reason", "vault") == [("reveal", "file", "ticket", "default")]


def test_a_read_only_page_has_the_button_too(scan: Scan) -> None:
    """For those who may view and see."""
    page = user("view_scan", "view_plaintext_scan").get(f"/desk/files/scan/{scan.pk}/change/")
    assert f'href="{where(scan)}"' in page.content.decode()


@pytest.mark.parametrize("allowed", [["view_scan"], ["view_scan", "change_scan"]])
def test_name_and_size(scan: Scan, allowed: list[str]) -> None:
    """The page of a row tells both of a file, to whoever may view or change the row, and no byte of it."""
    page = user(*allowed).get(f"/desk/files/scan/{scan.pk}/change/").content.decode()
    assert "hand.txt" in page
    assert f"{len(SECRET)}\xa0bytes" in page
    assert SECRET.decode() not in page


def test_a_concealed_name_is_masked() -> None:
    """What is sealed with the file is not shown: a mask stands for its original name."""
    row = Report.objects.create(clinic="org_1", file=ContentFile(bytes(3000), "Befund Ada.pdf"))
    for allowed in (["view_report"], ["view_report", "change_report"]):
        page = user(*allowed).get(f"/desk/files/report/{row.pk}/change/").content.decode()
        assert "Befund" not in page
        assert f'<span class="vault-file">{masks.FULL} 2.9\xa0KB</span>' in page


@pytest.mark.parametrize("what", ["gone", "changed", "cut", "foreign", "empty", "forbidden", "blank"])
def test_a_size_that_cannot_be_told(scan: Scan, tmp_path: Any, what: str) -> None:
    """The page is there all the same, marks the file, and saving it keeps the file that it has."""
    (stored,) = [each for each in tmp_path.rglob("*") if each.is_file()]
    raw = stored.read_bytes()
    damaged = {"changed": raw[:-1] + bytes([raw[-1] ^ 1]), "cut": raw[:-20], "foreign": b"%PDF", "empty": b""}
    stored.write_bytes(damaged.get(what, raw))
    if what == "gone":
        stored.unlink()
    if what == "blank":
        Scan.objects.update(file="")
    client = user("view_scan", "change_scan")
    where = f"/desk/files/scan/{scan.pk}/change/"
    forbidden = vaults["default"].decryption_forbidden() if what == "forbidden" else nullcontext()
    with forbidden:
        page = client.get(where).content.decode()
        answer = client.post(where, {"title": "left", "file": "", "plain": "", "_save": "1"})
    assert ("cannot be opened" in page) == (what not in ("forbidden", "blank"))
    assert "bytes" not in page
    assert answer.status_code == 302
    assert Scan.objects.get().title == "left"
    assert Scan.objects.get().file.name == ("" if what == "blank" else scan.file.name)


def test_an_outage(remote_vault: RunningEmulator) -> None:
    """A size that needs a key which cannot be had now is marked, and tells after the outage."""
    scan = Scan.objects.create(file=ContentFile(SECRET, "hand.txt"))
    client = user("view_scan")
    where = f"/desk/files/scan/{scan.pk}/change/"
    fail(remote_vault)
    assert "cannot be opened" in client.get(where).content.decode()
    recover(remote_vault)
    assert f"{len(SECRET)}\xa0bytes" in client.get(where).content.decode()


def test_an_image_may_be_shown() -> None:
    """In the browser, by the same permission, and on record as shown."""
    picture = io.BytesIO()
    Image.new("RGB", (2, 2)).save(picture, "PNG")
    row = Portrait.objects.create(image=ContentFile(picture.getvalue(), "ada.png"))
    client = user("view_portrait", "view_plaintext_portrait")
    answer = client.post(where(row, "image"), {"verb": "preview"})
    assert body(answer) == picture.getvalue()
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Disposition"].startswith("inline")
    assert records() == [("reveal", "shown")]


def test_who_may_not(scan: Scan) -> None:
    """No button, no file, and a record."""
    client = user("view_scan", "match_plaintext_scan")
    assert "vault-reveal" not in client.get(f"/desk/files/scan/{scan.pk}/change/").content.decode()
    for verb in ("download", "preview", "reveal", "match"):
        answer = client.post(where(scan), {"verb": verb})
        assert answer.status_code == 403
        assert SECRET not in body(answer)
    assert set(records()) == {("denied", "no permission")}


@pytest.mark.parametrize("field", ["plain", "title"])
def test_other_fields_are_refused(scan: Scan, field: str) -> None:
    """A file that is not encrypted is none of ours."""
    client = user("view_scan", "view_plaintext_scan")
    assert client.post(where(scan, field), {"verb": "download"}).status_code == 404


def test_no_file_and_a_broken_one(scan: Scan, tmp_path: Any) -> None:
    """Blank, gone from the storage, changed there: a message each, and a record."""
    client = user("view_scan", "view_plaintext_scan")
    empty = Scan.objects.create()
    assert client.post(where(empty), {"verb": "download"}).status_code == 404
    (stored,) = [each for each in tmp_path.rglob("*") if each.is_file()]
    stored.write_bytes(b"\x00" + stored.read_bytes()[1:])
    answer = client.post(where(scan), {"verb": "download"})
    assert answer.status_code == 409
    assert "cannot be opened" in answer.content.decode()
    stored.unlink()
    assert client.post(where(scan), {"verb": "download"}).status_code == 404
    assert [action for action, _ in records()] == ["denied"] * 3


def test_no_record_no_file(scan: Scan) -> None:
    """As for any value, and within the same daily limit."""
    client = user("view_scan", "view_plaintext_scan")

    def down(execute: Any, sql: str, *args: Any) -> Any:
        if "accesschain" in sql:
            raise OperationalError("the server is gone")
        return execute(sql, *args)

    with connection.execute_wrapper(down):
        answer = client.post(where(scan), {"verb": "download"})
    assert answer.status_code == 503
    assert SECRET not in body(answer)
    with override_settings(WORKOS_VAULT_ADMIN={"DAILY_LIMIT": 1}):
        assert body(client.post(where(scan), {"verb": "download"})) == SECRET
        assert client.post(where(scan), {"verb": "download"}).status_code == 429
