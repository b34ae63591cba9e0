"""``vault_reencrypt`` of a file field: new keys for new bytes, or new wrappings for the same."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
from tests.files.models import Report, Scan

pytestmark = pytest.mark.django_db(databases="__all__")

TEXT = b"three " * 50_000


def run(target: str, *options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("vault_reencrypt", target, "--format", "json", *options, stdout=out)
    document: dict[str, Any] = json.loads(out.getvalue())
    [column] = document["columns"]
    return {**column, "run": document.get("run")}


def stored(media: Path) -> dict[str, bytes]:
    return {str(path.relative_to(media)): path.read_bytes() for path in media.rglob("*") if path.is_file()}


def texts(model: Any) -> list[bytes]:
    found = []
    for row in model.objects.order_by("pk"):
        with row.file.open() as file:
            found.append(file.read())
    return found


def test_files_are_sealed_again(media: Path) -> None:
    """Every file is a new one under one new key, holds what it held, and the old ones are gone."""
    rows = [Scan.objects.create(file=ContentFile(TEXT[:n], name=f"{n}.png")) for n in (0, 9, 200_000)]
    before = stored(media)
    keys = vaults["default"].stats().keys_created
    assert run("files.Scan.file", "--dry-run")["renewed"] == 3
    assert stored(media) == before
    assert run("files.Scan.file")["renewed"] == 3
    assert vaults["default"].stats().keys_created == keys + 1
    assert texts(Scan) == [b"", TEXT[:9], TEXT[:200_000]]
    assert not set(before) & set(stored(media))
    assert len(stored(media)) == 3
    commitments = {read_header(BytesSource(raw)).commitment for raw in stored(media).values()}
    assert len(commitments) == 1
    assert commitments.isdisjoint(read_header(BytesSource(raw)).commitment for raw in before.values())
    assert [Scan.objects.get(pk=row.pk).file.original_name for row in rows] == [
        "0.png",
        "9.png",
        "200000.png",
    ]


def test_rekeying_writes_the_header_alone(media: Path) -> None:
    """In a folder the wrapped key is written over in its place: names, salts and frames stay."""
    reports = [
        Report.objects.create(clinic="org_1", file=ContentFile(TEXT, name=f"{n}.pdf")) for n in range(3)
    ]
    before = stored(media)
    assert run("files.Report.file", "--rekey")["renewed"] == 3
    after = stored(media)
    assert after.keys() == before.keys()
    wrapped = set()
    for name, raw in after.items():
        old, new = read_header(BytesSource(before[name])), read_header(BytesSource(raw))
        assert raw[new.length :] == before[name][old.length :]
        assert old.key_reference != new.key_reference
        assert (old.salt, old.commitment, old.sealed_name) == (new.salt, new.commitment, new.sealed_name)
        wrapped.add(new.key_reference)
    assert len(wrapped) == 1
    vaults["default"].keyring.forget()
    assert texts(Report) == [TEXT] * 3
    assert Report.objects.get(pk=reports[0].pk).file.original_name == "0.pdf"


def test_rekeying_where_it_does_not_fit(media: Path) -> None:
    """A header that is too short for the new wrapping is put in front of a copy of the frames."""
    scan = Scan.objects.create(file=ContentFile(TEXT, name="a.png"))
    path = media / scan.file.name
    header = read_header(BytesSource(path.read_bytes()))
    path.write_bytes(header.packed(1) + path.read_bytes()[header.length :])
    longer = {"a": "1" * 300, "b": "2" * 300, "c": "3" * 300}
    vault = {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": longer,
        "OPTIONS": {"master_key": b"tests only: this is not a secret", "objects_file": ":memory:"},
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        assert run("files.Scan.file", "--rekey")["renewed"] == 1
        assert texts(Scan) == [TEXT]
    [(name, raw)] = stored(media).items()
    assert name != scan.file.name
    assert read_header(BytesSource(raw)).salt == header.salt


def test_what_does_not_open_is_left(media: Path) -> None:
    """A damaged file stays and is listed, a file that another row has is kept, others are renewed."""
    bad, good, shared = (Scan.objects.create(file=ContentFile(TEXT, name=f"{n}.png")) for n in range(3))
    Scan.objects.create(plain=shared.file.name)
    path = media / bad.file.name
    path.write_bytes(path.read_bytes()[:-1])
    out = StringIO()
    with pytest.raises(CommandError, match="1 files were left"):
        call_command("vault_reencrypt", "files.Scan.file", stdout=out)
    assert f"primary keys: {bad.pk}" in out.getvalue()
    assert path.exists()
    assert (media / shared.file.name).exists()
    assert not (media / good.file.name).exists()
    with Scan.objects.get(pk=good.pk).file.open() as file:
        assert file.read() == TEXT


def test_a_withdrawn_key_stops_nothing_else(remote_vault: Any, media: Path) -> None:
    """Files of an organization that took its key back are left; those of others get their new key."""
    for clinic in ("org_1", "org_2"):
        Report.objects.create(clinic=clinic, file=ContentFile(TEXT, name="a.pdf"))
    vaults["default"].keyring.forget()
    remote_vault.revoke("organization_id", "org_1")
    for options in ((), ("--rekey",)):
        with pytest.raises(CommandError, match="1 files were left"):
            run("files.Report.file", *options)
    assert len(stored(media)) == 2
    with Report.objects.get(clinic="org_2").file.open() as file:
        assert file.read() == TEXT


def test_rows_that_moved_get_their_new_key() -> None:
    """A file whose row names another key context is sealed, or wrapped, under that one."""
    Scan.objects.create(file=ContentFile(TEXT, name="a.png"))
    vault = {
        "BACKEND": "django_workos_vault.backends.local.LocalVault",
        "KEY_CONTEXT": {"app": "another"},
        "OPTIONS": {"master_key": b"tests only: this is not a secret", "objects_file": ":memory:"},
    }
    with override_settings(WORKOS_VAULTS={"default": vault}):
        run("files.Scan.file")
        context = KeyContext({"app": "another"})
        current = vaults["default"].keyring.registry.current([context])[context.digest]
        with Scan.objects.get().file.storage.inner.open(Scan.objects.get().file.name) as raw:
            assert read_header(BytesSource(raw.read())).commitment == current.commitment


@pytest.mark.parametrize(
    "options",
    [
        ["--operation", "reindex"],
        ["--operation", "move", "--from-vault", "old"],
        ["--batch-size", "2"],
        ["--verify"],
    ],
    ids=" ".join,
)
def test_what_files_cannot_do_is_refused(media: Path, options: list[str]) -> None:
    """Files have no index and no other vault, and a row is a batch."""
    Scan.objects.create(file=ContentFile(TEXT, name="a.png"))
    before = stored(media)
    with pytest.raises(CommandError, match=options[0]):
        run("files.Scan.file", *options)
    assert stored(media) == before
