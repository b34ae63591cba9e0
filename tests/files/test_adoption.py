"""``vault_encrypt_files``: files in clear become sealed ones, and nothing is lost on the way."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_workos_vault.exceptions import MalformedEnvelope
from tests.files.models import Report, Scan

pytestmark = pytest.mark.django_db(databases="__all__")

TEXTS = [b"one", b"", b"three " * 50_000]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def run(target: str, journal: Path, *options: str) -> dict[str, Any]:
    out = StringIO()
    call_command(
        "vault_encrypt_files", target, "--journal", str(journal), "--format", "json", *options, stdout=out
    )
    document: dict[str, Any] = json.loads(out.getvalue())
    return document


def in_clear(text: bytes, name: str = "old/scan.png", **row: Any) -> Any:
    """Return a row as it was before its field encrypted."""
    stored = default_storage.save(name, ContentFile(text))
    return Scan.objects.create(file=stored, **row)


def text_of(row: Any) -> bytes:
    with type(row).objects.get(pk=row.pk).file.open() as file:
        whole: bytes = file.read()
        return whole


def test_files_in_clear_become_sealed(journal: Path) -> None:
    """Each row's file is a sealed copy afterwards, the originals are there, and are deleted when told."""
    rows = [in_clear(text) for text in TEXTS]
    originals = [row.file.name for row in rows]
    Scan.objects.create()
    with pytest.raises(MalformedEnvelope):
        text_of(rows[0])
    assert run("files.Scan.file", journal, "--dry-run")["sealed"] == 3
    assert run("files.Scan.file", journal)["sealed"] == 3
    assert [text_of(row) for row in rows] == TEXTS
    assert {Scan.objects.get(pk=row.pk).file.original_name for row in rows} == {
        name.rpartition("/")[2] for name in originals
    }
    for name, text in zip(originals, TEXTS, strict=True):
        with default_storage.open(name) as original:
            assert original.read() == text
    again = run("files.Scan.file", journal)
    assert (again["sealed"], again["sealed_before"]) == (0, 3)
    assert run("files.Scan.file", journal, "--delete-originals", "--dry-run")["deleted"] == 3
    assert run("files.Scan.file", journal, "--delete-originals")["deleted"] == 3
    assert not any(default_storage.exists(name) for name in originals)
    assert run("files.Scan.file", journal, "--delete-originals")["deleted"] == 0
    assert [text_of(row) for row in rows] == TEXTS


def test_rows_that_are_bound(journal: Path) -> None:
    """Files are sealed for their row, under its key, with the names and padding that the field asks for."""
    stored = default_storage.save("old/Befund.pdf", ContentFile(b"text"))
    reports = [Report.objects.create(clinic=clinic, file=stored) for clinic in ("org_1", "org_2", "")]
    with pytest.raises(CommandError, match="1 files were left"):
        run("files.Report.file", journal)
    assert [text_of(report) for report in reports[:2]] == [b"text", b"text"]
    assert Report.objects.get(pk=reports[2].pk).file.name == stored
    document = run("files.Report.file", journal, "--delete-originals")
    assert (document["deleted"], document["kept"]) == (0, 2)  # the third row still has it


def test_an_original_that_changed_is_kept(journal: Path, media: Path) -> None:
    """An original that is no longer what was sealed, or that another row has, is not deleted."""
    rows = [in_clear(text) for text in TEXTS]
    originals = [row.file.name for row in rows]
    run("files.Scan.file", journal)
    (media / originals[0]).write_bytes(b"newer")
    Scan.objects.create(plain=originals[1])
    copy = Scan.objects.get(pk=rows[2].pk).file.name
    raw = (media / copy).read_bytes()
    (media / copy).write_bytes(raw[:-1])
    with pytest.raises(CommandError):
        run("files.Scan.file", journal, "--delete-originals")
    assert all(default_storage.exists(name) for name in originals)


def test_what_cannot_be_sealed_is_left(journal: Path, media: Path) -> None:
    """A missing file, and a sealed one that does not open, are listed; the others are sealed."""
    missing, good, damaged = in_clear(b"a"), in_clear(b"b"), Scan.objects.create()
    default_storage.delete(missing.file.name)
    damaged.file.save("c.png", ContentFile(b"c"))
    raw = (media / damaged.file.name).read_bytes()
    (media / damaged.file.name).write_bytes(raw[:300] + bytes([raw[300] ^ 1]) + raw[301:])
    out = StringIO()
    with pytest.raises(CommandError, match="2 files were left"):
        call_command("vault_encrypt_files", "files.Scan.file", "--journal", str(journal), stdout=out)
    assert f"primary keys: {missing.pk}" in out.getvalue()
    assert text_of(good) == b"b"


def test_an_interrupted_run_goes_on(journal: Path, media: Path, settings: Any) -> None:
    """After an outage the run stops, nothing is half done, and the next one does the rest."""
    rows = [in_clear(text) for text in TEXTS]
    before = sorted(path for path in media.rglob("*") if path.is_file())
    down = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"api_key": "sk_test_x", "base_url": "http://127.0.0.1:9", "deadline": 0.5},
    }
    with override_settings(WORKOS_VAULTS={"default": down}), pytest.raises(CommandError, match="Stopped"):
        run("files.Scan.file", journal)
    assert sorted(path for path in media.rglob("*") if path.is_file()) == before
    assert run("files.Scan.file", journal)["sealed"] == 3
    assert [text_of(row) for row in rows] == TEXTS


def test_names_that_are_none(journal: Path) -> None:
    """A target that is no encrypted file field, and a journal that is none, are told."""
    with pytest.raises(CommandError, match=r"Encrypted file fields: .*files\.Scan\.file"):
        run("files.Scan.plain", journal)
    with pytest.raises(CommandError, match="no journal"):
        run("files.Scan.file", journal, "--delete-originals")
    journal.write_text("what is this\n")
    with pytest.raises(CommandError, match="journal is none"):
        run("files.Scan.file", journal, "--delete-originals")
