"""``EncryptedStorage``: for fields and libraries that know nothing of encryption."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.migrations.writer import MigrationWriter
from django.test import Client, RequestFactory, override_settings
from django.urls import path

from django_workos_vault import vaults
from django_workos_vault.exceptions import DecryptionForbidden, WrongBinding
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.files.views import file_response
from tests.files import urls
from tests.files.models import Scan

pytestmark = pytest.mark.django_db

TEXT = b"a scan of the left hand " * 5000


@pytest.fixture
def as_default(settings: Any, media: Path) -> Path:
    settings.STORAGES = {
        "default": {
            "BACKEND": "django_workos_vault.files.EncryptedStorage",
            "OPTIONS": {
                "storage": {
                    "BACKEND": "django.core.files.storage.FileSystemStorage",
                    "OPTIONS": {"location": str(media), "base_url": "/media/"},
                },
                "key_context": {"app": "files"},
            },
        },
        "raw": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    return media


def test_a_plain_field_over_it(as_default: Path) -> None:
    """Django's own FileField stores ciphertext when the default storage encrypts, and reads plaintext."""
    scan = Scan.objects.create(plain=ContentFile(TEXT, name="hand.png"))
    raw = (as_default / scan.plain.name).read_bytes()
    assert b"left hand" not in raw
    scan = Scan.objects.get()
    assert (scan.plain.size, scan.plain.url) == (len(TEXT), "/media/hand.png")
    with scan.plain.open() as file:
        assert file.read() == TEXT
        assert file.file.original_name == "hand.png"
    scan.plain.delete()
    assert not default_storage.exists("hand.png")


def test_it_is_a_storage(as_default: Path) -> None:
    """Names, times and folders are the inner storage's; there is no path, and no writing in place."""
    name = default_storage.save("a/b.txt", ContentFile(TEXT))
    assert default_storage.save("a/b.txt", ContentFile(TEXT)) != name
    folders, files = default_storage.listdir("a")
    assert (folders, len(files)) == ([], 2)
    for moment in ("get_modified_time", "get_created_time", "get_accessed_time"):
        assert getattr(default_storage, moment)(name) is not None
    with pytest.raises(NotImplementedError):
        default_storage.path(name)
    with pytest.raises(ValueError, match="no mode"):
        default_storage.open(name, "wb")
    with pytest.raises(FileNotFoundError):
        default_storage.open("nothing")
    for unsafe in ("../a.txt", "/etc/passwd", "a/../../b", ""):
        with pytest.raises(Exception, match=r"traversal|path|name|Could not"):
            default_storage.save(unsafe, ContentFile(b"x"))
    with default_storage.open(name, "r") as text:
        assert text.readline() == TEXT.decode()


def test_inner_storages_by_alias_and_object(as_default: Path) -> None:
    """The inner storage is named, described or given; any that takes chunks will do."""
    for inner in ("raw", InMemoryStorage(), {"BACKEND": "django.core.files.storage.InMemoryStorage"}):
        storage = EncryptedStorage(inner, conceal_names=True, padding=4096)
        name = storage.save("folder/hand.png", ContentFile(TEXT))
        assert name.startswith("folder/")
        assert "hand" not in name
        with storage.open(name) as file, storage.inner.open(name) as raw:
            assert (file.original_name, file.read()) == ("hand.png", TEXT)
            raw.seek(0)
            assert (len(raw.read()) - 1024) % 4096 == 16 * -(-(len(TEXT) + 8) // 65536) % 4096
    assert EncryptedStorage("raw").inner is storages["raw"]


def test_labels_keep_files_apart(as_default: Path) -> None:
    """A file of one label does not open under another, unless that had it before."""
    name = EncryptedStorage("raw", label="contracts").save("a", ContentFile(TEXT))
    with pytest.raises(WrongBinding):
        EncryptedStorage("raw", label="invoices").open(name)
    renamed = EncryptedStorage("raw", label="invoices", previous_labels=("contracts",))
    with renamed.open(name) as file:
        assert file.read() == TEXT


def test_where_the_plaintext_is_served(as_default: Path) -> None:
    """With url_name the URL is one of the project's own; without, the inner one, which gives ciphertext."""
    with override_settings(ROOT_URLCONF="tests.files.urls"):
        storage = EncryptedStorage(FileSystemStorage(), url_name="by-name")
        assert storage.url("a/b.txt") == "/by-name/a/b.txt"
        assert EncryptedStorage(FileSystemStorage(base_url="/m/")).url("a/b.txt") == "/m/a/b.txt"


def test_a_migration_can_name_it() -> None:
    """A field's storage is written into migrations with what it was given, and no key."""
    storage = EncryptedStorage("raw", key_context={"app": "clinic"}, padding="padme")
    text, imports = MigrationWriter.serialize(storage)
    assert text == (
        "django_workos_vault.files.EncryptedStorage('raw', key_context={'app': 'clinic'}, padding='padme')"
    )
    assert imports == {"import django_workos_vault.files"}
    assert storage.deconstruct()[1:] == (("raw",), {"key_context": {"app": "clinic"}, "padding": "padme"})  # type: ignore[attr-defined]


def test_decryption_forbidden(as_default: Path) -> None:
    """Where opening is off a storage writes, lists and deletes, and does not open."""
    with vaults["default"].decryption_forbidden():
        name = default_storage.save("a", ContentFile(TEXT))
        for ask in (default_storage.open, default_storage.size):
            with pytest.raises(DecryptionForbidden):
                ask(name)
        assert default_storage.exists(name)
        default_storage.delete(name)


class ScanAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["title", "file"]


@pytest.mark.urls("tests.files.urls")
def test_the_admin_uploads_and_lists(client: Client, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin stores an upload sealed, and shows lists and forms without opening any file."""
    site = admin.AdminSite()
    site.register(Scan, ScanAdmin)
    monkeypatch.setattr(urls, "urlpatterns", [*urls.urlpatterns, path("admin/", site.urls)])
    client.force_login(User.objects.create_superuser("ada"))
    upload = {"title": "hand", "file": SimpleUploadedFile("hand.png", TEXT), "plain": ""}
    assert client.post("/admin/files/scan/add/", upload).status_code == 302
    scan = Scan.objects.get()
    assert b"left hand" not in (media / scan.file.name).read_bytes()
    with vaults["default"].decryption_forbidden():
        for page in ("/admin/files/scan/", f"/admin/files/scan/{scan.pk}/change/"):
            assert scan.file.name in client.get(page).content.decode()
        changed = client.post(f"/admin/files/scan/{scan.pk}/change/", {"title": "foot", "plain": ""})
        assert changed.status_code == 302
    with Scan.objects.get(title="foot").file.open() as file:
        assert file.read() == TEXT


def test_names_that_would_break_a_header(rf: RequestFactory) -> None:
    """A sealed name with line ends or none at all is served all the same, as one header."""
    storage = EncryptedStorage(InMemoryStorage(), conceal_names=True)
    for original in ("a\r\nSet-Cookie: x=1.txt", 'quo"te.txt', "tab\t.txt"):
        name = storage.save("x", ContentFile(b"text"), original_name=original)
        response = file_response(rf.get("/"), storage.open(name))
        assert b"".join(response.streaming_content) == b"text"  # type: ignore[attr-defined]
        disposition = response["Content-Disposition"]
        assert "\n" not in disposition
        assert disposition.startswith("attachment; filename")


def test_two_who_want_one_name(as_default: Path) -> None:
    """When a broken upload lost its name to another one, its half is removed, and the other's file stays."""

    class Broken(ContentFile):  # type: ignore[type-arg]
        def chunks(self, chunk_size: int | None = None) -> Any:
            yield TEXT
            default_storage.save("a.bin", ContentFile(b"the other's"))
            yield TEXT * 20
            raise OSError("the client went away")

    class Late(FileSystemStorage):
        """Finds the name free, and then somebody takes it."""

        def get_available_name(self, name: str, max_length: int | None = None) -> str:
            if not taken:
                taken.append(name)
                return name
            return super().get_available_name(name, max_length)

    taken: list[str] = []
    location = as_default
    storage = EncryptedStorage(Late(location=location))
    default_storage.save("a.bin", ContentFile(b"first"))
    with pytest.raises(OSError, match="went away"):
        storage.save("a.bin", Broken(b""))
    texts = []
    for name in default_storage.listdir("")[1]:
        with default_storage.open(name) as file:
            texts.append(file.read())
    assert sorted(texts) == [b"first", b"the other's"]


def test_a_closed_file_keeps_nothing(as_default: Path) -> None:
    """Closing a file lets go of its key and of the frame that was read last."""
    name = default_storage.save("a", ContentFile(TEXT))
    file = default_storage.open(name)
    file.read(10)
    frames = file.sealed._frames
    file.close()
    assert not hasattr(frames, "_key")
    assert frames._recent == (-1, b"")
