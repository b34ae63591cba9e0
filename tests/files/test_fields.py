"""Encrypted file fields: Django's, but what the storage gets is sealed."""

import asyncio
import copy
import io
import json
import os
import pickle
import re
import resource
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.core import serializers
from django.core.files.base import ContentFile, File
from django.core.files.images import get_image_dimensions
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import transaction
from PIL import Image
from rest_framework import serializers as serializers_of_drf

from django_workos_vault import vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    DecryptionForbidden,
    InvalidVaultConfiguration,
    MissingKeyContext,
    TamperedEnvelope,
    WrongBinding,
)
from django_workos_vault.files import EncryptedStorage
from tests.files.models import Portrait, Report, Scan

pytestmark = pytest.mark.django_db

SECRET = b"a scan of the left hand " * 50


def stored(media: Path, name: str | None) -> bytes:
    return (media / str(name)).read_bytes()


def text_of(file: Any) -> bytes:
    with file.open() as opened:
        whole: bytes = opened.read()
        return whole


def everything(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_file()]


def uploaded(name: str = "Röntgen, links.png", content: bytes = SECRET) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_a_file_is_stored_sealed_and_read_in_clear(media: Path) -> None:
    """Where Django's field puts the plaintext, ours puts ciphertext, under the same name."""
    scan = Scan.objects.create(file=uploaded(), plain=uploaded())
    assert scan.file.name == f"scans/{date.today():%Y}/Röntgen_links.png"
    assert SECRET in stored(media, scan.plain.name)
    assert b"left hand" not in stored(media, scan.file.name)
    scan = Scan.objects.get()
    assert scan.file.original_name == "Röntgen, links.png"
    assert (scan.file.size, len(scan.file)) == (len(SECRET), len(SECRET))
    assert scan.file.read() == SECRET
    assert scan.file.open().read() == SECRET
    with scan.file.open() as file:
        file.seek(7)
        assert file.read(4) == SECRET[7:11]
    assert scan.file.closed
    with scan.file.open() as file:
        assert b"".join(file.chunks(100)) == SECRET
    assert str(scan.file) == scan.file.name


def test_a_closed_file_is_opened_again() -> None:
    """Closing and opening goes on as with any field file, and no file of that name elsewhere is touched."""
    scan = Scan.objects.create(file=uploaded())
    scan = Scan.objects.get()
    for _ in range(3):
        scan.file.open()
        assert scan.file.read(6) == SECRET[:6]
        scan.file.close()
    with pytest.raises(ValueError, match="no mode"):
        Scan.objects.get().file.open("wb")


@pytest.mark.parametrize("content", [b"", b"x", SECRET, os.urandom((1 << 16) + 1), bytes(3 << 20)])
@pytest.mark.parametrize("given", [ContentFile, SimpleUploadedFile, io.BytesIO])
def test_any_content(content: bytes, given: Any) -> None:
    """Files of every kind and length are taken, from their beginning, wherever they stood."""
    file: Any = given("a.bin", content) if given is SimpleUploadedFile else given(content)
    file.read(5)
    scan = Scan()
    scan.file.save("a.bin", File(file) if given is io.BytesIO else file)
    assert Scan.objects.get().file.size == len(content)
    assert text_of(Scan.objects.get().file) == content


def test_text_is_stored_as_utf_8() -> None:
    """ContentFile takes text; its bytes are UTF-8, as Django's storage writes them."""
    scan = Scan.objects.create(file=ContentFile("Grüße", name="a.txt"))
    assert text_of(Scan.objects.get(pk=scan.pk).file) == "Grüße".encode()
    with Scan.objects.get().file.storage.open(scan.file.name, "r") as text:
        assert text.read() == "Grüße"


def test_a_report_shows_neither_name_nor_length(media: Path) -> None:
    """conceal_names gives a random name in the folder of upload_to; padding gives many lengths one size."""
    names, sizes = set(), set()
    for length in range(1100, 1120):
        report = Report.objects.create(clinic="org_1", file=uploaded("Befund Müller.pdf", bytes(length)))
        assert re.fullmatch(r"clinics/org_1/[0-9a-f]{32}", report.file.name)
        fresh = Report.objects.get(pk=report.pk)
        assert (fresh.file.size, fresh.file.original_name) == (length, "Befund Müller.pdf")
        names.add(report.file.name)
        sizes.add(len(stored(media, report.file.name)))
    assert len(names) == 20
    assert len(sizes) == 1


def test_the_key_is_the_rows(media: Path) -> None:
    """A file is sealed under the key context of its row, and a row without one stores nothing."""
    Report.objects.create(clinic="org_1", file=uploaded())
    contexts = {KeyContext({"organization_id": "org_1"}).digest}
    ring = vaults["default"].keyring
    assert set(ring.registry.current([KeyContext({"organization_id": "org_1"})])) == contexts
    with pytest.raises(MissingKeyContext):
        Report(clinic="", file=uploaded()).save()
    assert len(everything(media)) == 1


def test_another_rows_file(media: Path) -> None:
    """A file that was exchanged with another row's, or a name copied into another row, does not open."""
    one, two = (Report.objects.create(clinic="org_1", file=uploaded()) for _ in range(2))
    first, second = media / one.file.name, media / two.file.name
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)
    for report in Report.objects.all():
        with pytest.raises(WrongBinding, match="another row"):
            text_of(report.file)
    Report.objects.filter(pk=one.pk).update(file=two.file.name)
    assert text_of(Report.objects.get(pk=one.pk).file) == SECRET  # the exchange above, undone
    Report.objects.filter(pk=one.pk).update(clinic="org_2")
    with pytest.raises(WrongBinding):
        text_of(Report.objects.get(pk=one.pk).file)


def test_a_bound_column_without_a_value() -> None:
    """A file is not stored for a row that has no identity yet."""
    report = Report(pk=None, clinic="org_1")
    report.id = None  # type: ignore[assignment]
    with pytest.raises(MissingKeyContext, match="bound to"):
        report.file.save("a.pdf", ContentFile(b"x"), save=False)


def test_another_fields_file(media: Path) -> None:
    """A file of one field put in the place of another's is refused, and a plain one is none of ours."""
    scan, portrait = Scan.objects.create(file=uploaded()), Portrait.objects.create()
    Portrait.objects.filter(pk=portrait.pk).update(image=scan.file.name)
    with pytest.raises(WrongBinding, match="another field"):
        text_of(Portrait.objects.get(pk=portrait.pk).image)
    whole = stored(media, scan.file.name)
    (media / scan.file.name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(TamperedEnvelope):
        text_of(Scan.objects.get().file)


class Breaking(io.RawIOBase):
    """An upload that breaks off."""

    def __init__(self) -> None:
        self.left = 50

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        if not self.left:
            raise OSError("the client went away")
        return SECRET


def test_a_write_that_fails_leaves_nothing(media: Path) -> None:
    """What was written of a broken upload is removed, the row keeps the file it had, and others stay."""
    scan = Scan.objects.create(file=uploaded("a.bin"))
    before = everything(media)
    scan.file = File(Breaking(), name="a.bin")  # type: ignore[assignment]
    with pytest.raises(OSError, match="went away"), transaction.atomic():
        scan.save()
    assert everything(media) == before
    assert text_of(Scan.objects.get().file) == SECRET


def test_a_full_disk_leaves_nothing(media: Path) -> None:
    """When the disk takes no more bytes the error is the disk's own, and the half is removed."""
    Scan.objects.create(file=uploaded())
    before = everything(media)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"), transaction.atomic():
            Scan().file.save("long.bin", ContentFile(bytes(6 << 20)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert everything(media) == before
    assert text_of(Scan.objects.get().file) == SECRET


def test_drf_serializers_take_and_show_files() -> None:
    """A model serializer takes an upload, and answers with where the file is served."""

    class ScanSerializer(serializers_of_drf.ModelSerializer):  # type: ignore[type-arg]
        class Meta:
            model = Scan
            fields = ["file"]

    class PortraitSerializer(serializers_of_drf.ModelSerializer):  # type: ignore[type-arg]
        class Meta:
            model = Portrait
            fields = ["image"]

    serializer = ScanSerializer(data={"file": uploaded()})
    assert serializer.is_valid(), serializer.errors
    scan = serializer.save()
    assert text_of(Scan.objects.get(pk=scan.pk).file) == SECRET
    assert ScanSerializer(scan).data["file"].endswith("links.png")
    assert PortraitSerializer(data={"image": picture()}).is_valid()
    assert not PortraitSerializer(data={"image": uploaded()}).is_valid()


def test_deleting(media: Path) -> None:
    """Deleting the file deletes what is stored."""
    scan = Scan.objects.create(file=uploaded())
    scan.file.delete()
    assert everything(media) == []
    assert not Scan.objects.get().file


def test_dumpdata_has_names_only() -> None:
    """A dump holds the file's name, and loading it finds the file again."""
    Scan.objects.create(file=uploaded())
    out = io.StringIO()
    call_command("dumpdata", "files.Scan", stdout=out)
    assert "left hand" not in out.getvalue()
    [row] = json.loads(out.getvalue())
    assert row["fields"]["file"].endswith("links.png")
    Scan.objects.all().delete()
    for each in serializers.deserialize("json", out.getvalue()):
        each.save()
    assert text_of(Scan.objects.get().file) == SECRET


def test_copies_and_pickles_hold_the_name() -> None:
    """A copied or pickled row opens its file anew; a pickle holds no plaintext."""
    scan = Scan.objects.create(file=uploaded())
    assert text_of(scan.file) == SECRET
    pickled = pickle.dumps(scan)
    assert b"left hand" not in pickled
    for again in (pickle.loads(pickled), copy.copy(scan), copy.deepcopy(Scan.objects.get())):
        assert text_of(again.file) == SECRET


def test_decryption_forbidden_and_stats() -> None:
    """Files obey decryption_forbidden(), and count in stats()."""
    scan = Scan.objects.create(file=uploaded())
    vault = vaults["default"]
    before = vault.stats().opened
    assert text_of(Scan.objects.get().file) == SECRET
    assert vault.stats().opened == before + 1
    with vault.decryption_forbidden():
        for ask in (lambda: text_of(Scan.objects.get().file), lambda: scan.file.size):
            with pytest.raises(DecryptionForbidden):
                ask()
        Scan.objects.create(file=uploaded())


def picture(width: int = 30, height: int = 20) -> SimpleUploadedFile:
    out = io.BytesIO()
    Image.effect_noise((width, height), 50).save(out, "PNG")
    return SimpleUploadedFile("Gesicht.png", out.getvalue())


def test_images() -> None:
    """An image keeps its dimensions, in the columns for them and when read from the file."""
    portrait = Portrait.objects.create(image=picture())
    assert (portrait.width, portrait.height) == (30, 20)
    fresh = Portrait.objects.get()
    assert (fresh.image.width, fresh.image.height) == (30, 20)
    with fresh.image.open() as file:
        assert get_image_dimensions(file) == (30, 20)
    with fresh.image.open() as file, Image.open(file) as image:
        image.load()
        assert image.size == (30, 20)


class ScanForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Scan
        fields = ["file"]


class PortraitForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Portrait
        fields = ["image"]


def test_forms_upload_keep_and_clear() -> None:
    """A form stores an upload, keeps a file that is not replaced, and clears it."""
    form = ScanForm({}, {"file": uploaded()})
    scan = form.save()
    assert text_of(Scan.objects.get().file) == SECRET
    assert ScanForm({}, {}, instance=Scan.objects.get()).save().file.name == scan.file.name
    assert "Röntgen_links.png" in str(ScanForm(instance=Scan.objects.get()))
    assert ScanForm({"file-clear": "on"}, {}, instance=Scan.objects.get()).save().file.name == ""
    assert PortraitForm({}, {"image": picture()}).is_valid()
    assert not PortraitForm({}, {"image": uploaded()}).is_valid()


def test_async_code_reads_files() -> None:
    """The file that a row's file opens is iterated over with async for."""
    Scan.objects.create(file=uploaded())
    with Scan.objects.get().file.open() as field_file:

        async def whole() -> bytes:
            return b"".join([piece async for piece in field_file.file])

        assert asyncio.run(whole()) == SECRET


def test_a_vault_that_is_none() -> None:
    """An unknown vault is an error that names it, when it is needed."""
    with pytest.raises(InvalidVaultConfiguration):
        EncryptedStorage("default", vault="nowhere").save("a", ContentFile(b"x"))
