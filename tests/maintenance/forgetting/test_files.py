"""``vault_forget`` and encrypted files: those of others that the keys sealed are told, as cells are."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db.models import QuerySet

from django_workos_vault import vaults
from django_workos_vault.files import EncryptedStorage
from django_workos_vault.streams.cipher import read_header
from django_workos_vault.streams.sources import BytesSource
from tests.app.models import Patient
from tests.files.models import FOLDERS, Report
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    customer,
    failing,
    forget,
    handed_over,
    opens,
    reasons,
    report_of,
    vault_of,
)

pytestmark = pytest.mark.django_db(databases="__all__")


def refers_to_the_registry(report: Report) -> Report:
    """Take the wrapped key out of the file, as no release does."""
    path = Path(report.file.storage.inner.path(report.file.name))
    stored = path.read_bytes()
    header = read_header(BytesSource(stored))
    path.write_bytes(header.rewrapped(b"") + stored[header.length :])
    return report


def planned() -> str:
    out = StringIO()
    call_command("vault_forget", CONTEXT, plan=True, stdout=out)
    return out.getvalue()


def test_a_file_in_another_customers_row_is_told_with_the_key_that_it_carries() -> None:
    """By primary key, before and after: it opens the cells, and ends with the customer's key in Vault."""
    with vault_of("reference"):
        Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        report = handed_over(report_of("org_1"))
        report_of("org_2")
        told = f"1 of files.Report.file: inline, in rows of ANOTHER key context by now: {report.pk}."
        assert told in planned()
        assert "1 of app.Patient.ssn refer to them: nobody can open these again, but for 1 whose" in planned()
        done = forget(CONTEXT)
        assert told in reasons(done)
        assert "whose wrapped copy is still carried by files.Report.file" in reasons(done)
        [files] = done["files"]
        assert (files["inline"], files["inline_of_others"], files["inline_others"]) == (
            1,
            1,
            [str(report.pk)],
        )


@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_refers_to_the_registry_is_destroyed_and_told(named: bool, tmp_path: Path) -> None:
    """One of another customer's by its primary key: in the plan, and in the report."""
    with vault_of("reference"):
        customer("org_1")
        report = refers_to_the_registry(report_of("org_1"))
        assert opens(report, "file")
        if named:
            handed_over(report)
        told = f"1 of them belong to rows of ANOTHER key context by now: files.Report.file {report.pk}."
        assert "1 of files.Report.file refer to them: nobody can open these again\n" in planned()
        assert (told in planned()) is named
        forget(CONTEXT, report=tmp_path / "report.txt")
        text = (tmp_path / "report.txt").read_text()
        assert "1 of files.Report.file refer to them: nobody can open these again\n" in text
        assert (told in text) is named
        handed_over(report, "org_1")
        assert not opens(report, "file")
        assert [each["gone"] for each in forget(CONTEXT)["files"]] == [1]


def test_files_of_wider_contexts_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that this customer's key sealed is told as such; of one that is not there, nothing is claimed."""
    with vault_of("reference"):
        before = report_of("org_1")
        field: Any = Report._meta.get_field("file")
        monkeypatch.setitem(field.key_context, "app", "clinic")
        report_of("org_1")
        missing = report_of("org_1")
        Path(missing.file.storage.inner.path(missing.file.name)).unlink()
        for _ in range(2):
            [files] = forget(CONTEXT)["files"]
            assert (files["not_read_of_others"], files["unread"]) == (1, {"FileNotFoundError": 1})
            expected = (1, 1, [str(before.pk)]) if _ == 0 else (2, 0, [])
            assert (files["wider"], files["inline"], files["inline_others"]) == expected


def test_a_field_with_files_of_others_alone() -> None:
    """In a row that came from another customer is a file that their key opens: it is not called inline."""
    with vault_of("reference"):
        handed_over(report_of("org_2"), "org_1")
        report = forget(CONTEXT)
        assert "1 of files.Report.file: sealed under another key context" in reasons(report)
        [files] = report["files"]
        assert (files["elsewhere"], files["inline"]) == (1, 0)


def test_two_kinds_that_are_as_many_are_both_told() -> None:
    """One file of the customer's, one of another's in a row of theirs: JSON loses neither."""
    with vault_of("reference"):
        handed_over(report_of("org_2"), "org_1")
        report_of("org_1")
        told = reasons(forget(CONTEXT))
        assert "1 of files.Report.file: inline: each carries" in told
        assert "And as many others: sealed under another key context" in told


@pytest.mark.parametrize("model", FOLDERS[1:3], ids=lambda model: str(model.__name__))
def test_files_and_cells_of_a_customers_rows_under_the_vaults_own_key(model: Any) -> None:
    """Where either the columns or the file are the customer's, the others of the row are told to stay."""
    with vault_of("reference"):
        model.objects.create(char="x", file=ContentFile(b"an x-ray", name="scan.txt"))
        model.objects.create(char="x", file=ContentFile(b"an x-ray", name="scan.txt"), tenant="org_2")
        told = reasons(forget(CONTEXT))
        other = "char" if "FreeFolder" in model.__name__ else "file"
        assert f"1 of {model._meta.label}.{other}: sealed under another key context" in told


def test_files_of_others_that_cannot_be_looked_at() -> None:
    """Which they are is told, and that they may carry a key; the customer is forgotten all the same."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        report_of("org_2")
        Report.objects.update(file="../../outside")
        assert "1 of files.Report.file: in rows of another key context, the same (1 Suspicious" in planned()
        report = forget(CONTEXT)
        assert report["done"]["finished"]
        assert not opens(patient, "ssn")
        assert "whether they carry a key of this one is not known" in reasons(report)


@pytest.mark.parametrize("name", ["..", "nowhere", "é" * 130, "a folder", "plain.txt", "plain.txt/x"])
def test_names_of_no_file_stop_nothing(name: str, tmp_path: Path) -> None:
    """Whoever writes the table does not keep a customer from being forgotten."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        report_of("org_1")
        (tmp_path / "a folder").mkdir()
        (tmp_path / "plain.txt").write_bytes(b"not encrypted")
        report = report_of("org_2")
        Report.objects.filter(pk=report.pk).update(file=name)
        assert forget(CONTEXT)["done"]["finished"]
        assert not opens(patient, "ssn")


def test_a_file_that_the_disk_does_not_give(tmp_path: Path) -> None:
    """One alone, of anybody's, that may carry a key: nothing is destroyed unless that is said."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        report = report_of("org_2")
        stored = tmp_path / report.file.name
        stored.unlink()
        stored.symlink_to(stored)  # ELOOP
        error, _ = failing(CONTEXT)
        assert "A storage did not give files: 1 of files.Report.file (1 OSError)" in str(error)
        assert opens(patient, "ssn")
        assert forget(CONTEXT, despite_unread_files=True)["done"]["finished"]
        assert not opens(patient, "ssn")


def test_what_no_row_has_is_readable_and_not_looked_for() -> None:
    """A file that was replaced, one that an EncryptedStorage keeps, and what encrypt() made: it says so."""
    with vault_of("reference"):
        report, vault = report_of("org_1"), vaults["default"]
        replaced = report.file.name
        report.file.save("scan.txt", ContentFile(b"another x-ray"))
        context = {"organization_id": "org_1"}
        storage = EncryptedStorage(report.file.storage.inner, key_context=context)
        name = storage.save("plain.txt", ContentFile(b"a letter"))
        made = vault.encrypt(b"a token", key_context=context)
        done = forget(CONTEXT)
        assert "and what your code sealed with encrypt() carry their wrapped keys" in reasons(done)
        assert [each["inline"] for each in done["files"]] == [1]
        Report.objects.update(file=replaced)
        assert opens(report, "file")
        vaults.reset()
        assert (storage.open(name).read(), vaults["default"].decrypt(made)) == (b"a letter", b"a token")


@pytest.mark.parametrize("kept", ["inline", "reference"])
def test_re_encrypted_first_it_is_the_other_customers(kept: str) -> None:
    """What the plan named of others is not lost: not to the keys' end, nor to their withdrawal in Vault."""
    model = FOLDERS[3]
    with vault_of(kept):
        row = model.objects.create(char="x", file=ContentFile(b"an x-ray", name="scan.txt"))
        QuerySet(model).filter(pk=row.pk).update(tenant="org_2")  # past the manager, which would seal anew
        plan, told = planned(), f"in rows of ANOTHER key context by now: {row.pk}."
        label = model._meta.label
        assert f"1 of {label}.file: inline, {told}" in plan
        assert (f"1 of {label}.char: inline, {told}" in plan) is (kept == "inline")
        assert (f"{label}.char {row.pk}. Re-encrypt these first" in plan) is (kept == "reference")
        for name in ("char", "file"):
            call_command("vault_reencrypt", f"{label}.{name}", stdout=StringIO())
        assert "ANOTHER" not in planned()
        forget(CONTEXT)
        vaults["default"].backend.revoke("organization_id", "org_1")
        assert opens(row, "char")
        assert opens(row, "file")
