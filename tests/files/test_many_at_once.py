"""Commands that look at many files ask for several at a time, and ask a storage that is out for few."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from threading import Condition
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command

from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.maintenance.files.beginnings import both_ends_of
from django_workos_vault.streams.sources import BytesSource
from tests.checked import checked
from tests.files.google import GOOGLE, google_with_a_bucket
from tests.files.models import Scan
from tests.files.sealing import CLINIC, FRAME, small
from tests.maintenance.forgetting.faulty_s3 import FaultyS3, at, faulty_s3

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]

NUMBER = 30


@pytest.fixture
def s3(settings: Any) -> Iterator[FaultyS3]:
    with faulty_s3(settings) as server:
        yield server


@pytest.fixture(params=["s3", "google"])
def store(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that tells of each request."""
    if request.param == "s3":
        yield request.getfixturevalue("s3")
        return
    with google_with_a_bucket() as google:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)
        settings.STORAGES = {"default": {"BACKEND": GOOGLE, "OPTIONS": google.options()}}
        yield google
        google.met = None


class Together:
    """Holds each request up until ``number`` are there, or for a fifth of a second."""

    def __init__(self, number: int) -> None:
        self._number, self._now, self.most = number, 0, 0
        self._changed = Condition()

    def __call__(self) -> None:
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._number, timeout=0.2)
            self._now -= 1


def findings(model: str, **options: Any) -> list[Any]:
    return [each for each in checked(**options)["findings"] if each["subject"] == f"files.{model}.file"]


def adopted(tmp_path: Path, **options: Any) -> Any:
    out = StringIO()
    journal = tmp_path / "journal.jsonl"
    call_command(
        "vault_encrypt_files", "files.Scan.file", journal=journal, format="json", stdout=out, **options
    )
    return json.loads(out.getvalue())


def scans(number: int = NUMBER, plain: bool = False) -> list[Any]:
    rows: list[Any] = [Scan(title=f"{n}") for n in range(number)]
    for n, row in enumerate(rows):
        if plain:
            row.file.name = row.file.field.storage.save(f"{n}.png", ContentFile(b"%d" % n))
        else:
            row.file.save(f"{n}.png", ContentFile(b"%d" % n * 70_000), save=False)
        row.save()
    return rows


def test_vault_check_asks_for_several(store: Any) -> None:
    """For the ends of those of rows, and for the headers of all that are there."""
    scans(8)
    for options in ({}, {"files": True, "sample": 1}):
        store.met = together = Together(4)
        found = findings("Scan", **options)
        assert together.most >= 4
        assert [each["status"] for each in found] == ["ok"] * (1 + ("files" in options))


def test_vault_encrypt_files_asks_for_several(store: Any, tmp_path: Path) -> None:
    """Whether they are sealed already."""
    scans(8)
    store.met = together = Together(4)
    assert adopted(tmp_path)["sealed_before"] == 8
    assert together.most >= 4


def test_a_storage_without_such_a_client_is_asked_for_one_at_a_time(s3: FaultyS3, settings: Any) -> None:
    scans(3)
    settings.STORAGES = at(s3.url, max_pool_connections=1)
    s3.met = together = Together(2)
    assert findings("Scan")[0]["status"] == "ok"
    assert together.most == 1


@pytest.mark.parametrize("padding", [None, "padme", 1])
def test_both_ends_are_enough_to_tell_whether_a_file_is_whole(ring: KeyRing, padding: Any) -> None:
    """Of every size, with the size of what was padded in the last frame or across two; and cut."""
    cipher = small(ring)
    for size in [*range(3 * FRAME), *range(9000, 9000 + 3 * FRAME)]:
        stored = b"".join(cipher.seal([b"x" * size], CLINIC, padding=padding))
        assert cipher.open(both_ends_of(lambda: BytesSource(stored))).size == size  # noqa: B023
    for cut in (1, FRAME, FRAME + 16, 2 * (FRAME + 16), len(stored) - 10):
        errors = []
        for source in (BytesSource(stored[:-cut]), both_ends_of(lambda: BytesSource(stored[:-cut]))):  # noqa: B023
            with pytest.raises(EnvelopeError) as caught:
                cipher.open(source).size  # noqa: B018
            errors.append((type(caught.value), str(caught.value)))
        assert errors[0] == errors[1]


def test_vault_check_and_a_storage_that_is_out(s3: FaultyS3, settings: Any) -> None:
    """Asked for a few, it is told as a problem, with what could not be looked for; no check ends for it."""
    scans()
    settings.STORAGES = at("http://127.0.0.1:9")
    opened, listed = findings("Scan", files=True)
    assert (opened["status"], listed["status"]) == ("problem", "problem")
    assert "EndpointConnectionError: " in opened["message"]
    assert "NotAsked: " in opened["message"]
    assert listed["message"] == "The storage did not list its files (EndpointConnectionError)."


def test_vault_check_and_files_that_a_storage_does_not_give(s3: FaultyS3) -> None:
    """Whether those belong to a row is not known, which is told, beside the one that belongs to none."""
    rows = scans(3)
    hidden = [row.file.name for row in rows[:2]]
    Scan.objects.filter(pk=rows[2].pk).delete()
    s3.faults = dict.fromkeys(hidden, "403 Forbidden")
    _, orphans = findings("Scan", files=True)
    assert orphans["status"] == "problem"
    assert "did not give all of its files (2 " in orphans["message"]
    assert f"1 do: {rows[2].file.name}." in orphans["message"]


def test_vault_encrypt_files_and_a_storage_that_is_out(s3: FaultyS3, settings: Any, tmp_path: Path) -> None:
    """Asked for a few, it has all of them left."""
    scans(plain=True)
    settings.STORAGES = at("http://127.0.0.1:9")
    with pytest.raises(CommandError, match=f"{NUMBER} files were left"):
        adopted(tmp_path)


def test_vault_encrypt_files_and_a_storage_that_takes_none(s3: FaultyS3, tmp_path: Path) -> None:
    """One line says so; what was sealed by then is passed over by the next run."""
    rows = scans(3, plain=True)
    s3.refuses_writes = "503 Service Unavailable"
    with pytest.raises(CommandError, match=r"^Stopped by \w+\. Run it again"):
        adopted(tmp_path)
    assert [Scan.objects.get(pk=row.pk).file.name for row in rows] == [row.file.name for row in rows]
    s3.refuses_writes = None
    assert adopted(tmp_path)["sealed"] == 3
