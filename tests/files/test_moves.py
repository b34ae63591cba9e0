"""A row whose bound column changes takes its file along, or says that it cannot."""

import copy
import pickle
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.core.files.base import ContentFile
from django.db import connection, transaction

from django_workos_vault.exceptions import EnvelopeError, TamperedEnvelope, WrongBinding
from tests.files.beside import FOLDERS
from tests.files.models import Report
from tests.files.test_fields import everything

pytestmark = pytest.mark.django_db
SECRET = b"the left hand is broken"
FOLDER = FOLDERS[1]  # with a file that is bound to the column "row", and the manager of encrypted columns


def new_report() -> Report:
    return Report.objects.create(clinic="org_1", file=ContentFile(SECRET, name="Befund.pdf"))


def text_of(row: Any) -> bytes:
    with type(row).objects.get(pk=row.pk).file.open() as file:
        text: bytes = file.read()
        return text


def loaded(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)


ROWS = {
    "as it was made": lambda row: row,
    "loaded": loaded,
    "without the column": lambda row: type(row).objects.defer("clinic").get(pk=row.pk),
    "without the file": lambda row: type(row).objects.defer("file").get(pk=row.pk),
    "copied": lambda row: copy.copy(loaded(row)),
    "pickled": lambda row: pickle.loads(pickle.dumps(loaded(row))),
}


@pytest.mark.parametrize("how", ROWS)
@pytest.mark.parametrize("fields", [None, ["clinic", "file"]])
def test_saving_a_moved_row_seals_its_file_anew(how: str, fields: list[str] | None, media: Path) -> None:
    """Whatever way the row was come by, its file opens after it was saved, and for it alone."""
    before = new_report()
    row = ROWS[how](before)
    row.clinic = "org_2"
    row.save(update_fields=fields)
    after = loaded(row)
    assert (after.clinic, after.file.original_name, text_of(row)) == ("org_2", "Befund.pdf", SECRET)
    assert after.file.name.startswith("clinics/org_2/")
    assert row.file.name == after.file.name
    Report.objects.filter(pk=row.pk).update(clinic="org_1")
    with pytest.raises(WrongBinding):
        text_of(row)


def test_twice_and_back(media: Path) -> None:
    """One instance may move several times; the file that a row had before stays, as Django leaves it."""
    row = new_report()
    for clinic in ("org_2", "org_3", "org_1"):
        row.clinic = clinic
        row.save()
        assert text_of(row) == SECRET
    assert len(everything(media)) == 4


def test_nothing_is_read_of_a_row_that_did_not_move(media: Path, django_assert_num_queries: Any) -> None:
    """Saving a row whose file is gone, or whose column was assigned what it was, asks no storage."""
    row = loaded(new_report())
    (media / row.file.name).unlink()
    row.clinic = "org_1"
    with django_assert_num_queries(1):
        row.save()
    assert loaded(row).file.name == row.file.name


def test_a_new_upload_needs_no_old_file(media: Path) -> None:
    """A moved row that gets another file is sealed for what it is now; the old one is not opened."""
    row = loaded(new_report())
    (media / row.file.name).write_bytes(b"damaged")
    row.clinic, row.file = "org_2", ContentFile(b"another", name="b.pdf")
    row.save()
    assert text_of(row) == b"another"


def test_a_file_that_does_not_open_stops_the_save(media: Path) -> None:
    """A changed file is not sealed anew: the error says so, and the row stays as it was."""
    row = loaded(new_report())
    stored = media / row.file.name
    raw = stored.read_bytes()
    stored.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    row.clinic = "org_2"
    with pytest.raises(TamperedEnvelope), transaction.atomic():
        row.save()
    assert loaded(row).clinic == "org_1"
    assert len(everything(media)) == 1


@pytest.mark.parametrize("left", [b"%PDF-1.7 not sealed yet", b"", None])
def test_what_is_no_file_of_ours_moves_as_it_is(media: Path, left: bytes | None) -> None:
    """A file in clear, an empty one or none is left alone: there is nothing to seal anew."""
    row = loaded(new_report())
    (media / row.file.name).unlink() if left is None else (media / row.file.name).write_bytes(left)
    row.clinic = "org_2"
    row.save()
    assert loaded(row).clinic == "org_2"
    row.file = ""
    row.clinic = "org_3"
    row.save()
    assert loaded(row).clinic == "org_3"


def test_another_rows_file_stops_the_save(media: Path) -> None:
    """A name that was taken over from another row is an error when it is saved, and not when it is read."""
    one, two = new_report(), new_report()
    thief = Report(clinic="org_1", file=one.file.name)
    with pytest.raises(WrongBinding, match="assign it as a new file"), transaction.atomic():
        thief.save()
    two = loaded(two)
    two.file, two.clinic = one.file.name, "org_2"
    with pytest.raises(EnvelopeError, match="assign it as a new file"), transaction.atomic():
        two.save()


@pytest.mark.parametrize("adding", [True, False])
def test_a_copied_row_gets_a_file_of_its_own(adding: bool) -> None:
    """Django's way to copy a row, another primary key, gives both rows a file that opens."""
    row = new_report()
    twin = loaded(row)
    twin.pk = uuid.uuid4()
    twin._state.adding = adding
    twin.save()
    assert Report.objects.count() == 2
    assert (text_of(row), text_of(twin)) == (SECRET, SECRET)
    assert loaded(row).file.name != loaded(twin).file.name


def test_a_moved_row_is_refreshed(media: Path) -> None:
    """What another one saved is taken over, and saved again as it is."""
    row = new_report()
    stale = loaded(row)
    row.clinic = "org_2"
    row.save()
    stale.refresh_from_db()
    stale.save()
    assert text_of(stale) == SECRET
    assert len(everything(media)) == 2


@pytest.mark.parametrize("uploads", [False, True])
def test_one_without_the_other_is_refused(uploads: bool) -> None:
    """As for cells: update_fields that would part the file from its row is an error that says what to add."""
    row = loaded(new_report())
    row.clinic = "org_2"
    row.file = ContentFile(b"another", name="b.pdf") if uploads else row.file
    for fields in (["clinic"], ["file"]):
        with (
            pytest.raises(FieldError, match=r"Report.file is bound to clinic: write all"),
            transaction.atomic(),
        ):
            row.save(update_fields=fields)
    assert text_of(row) == SECRET
    row.save(update_fields=["clinic", "file"])
    assert text_of(row) == (b"another" if uploads else SECRET)


def test_update_and_bulk_update() -> None:
    """The manager of encrypted columns refuses to move rows from under files, and moves those without."""
    row = FOLDER.objects.create(file=ContentFile(SECRET, name="a.txt"))
    empty = FOLDER.objects.create()
    for other in (row, empty):
        other.row = uuid.uuid4()
    with pytest.raises(FieldError, match="only save"):
        FOLDER.objects.update(row=uuid.uuid4())
    with pytest.raises(FieldError, match="only save"):
        FOLDER.objects.bulk_update([empty, row], ["row"])
    assert text_of(row) == SECRET
    assert FOLDER.objects.filter(pk=empty.pk).update(row=uuid.uuid4()) == 1
    assert FOLDER.objects.bulk_update([empty], ["row"]) == 1
    assert FOLDER.objects.update(tenant="org_2") == 2
    row = loaded(row)
    assert FOLDER.objects.bulk_update([row], ["row", "tenant"]) == 1
    row.row = uuid.uuid4()
    row.save()
    assert text_of(row) == SECRET


def test_a_rolled_back_move_leaves_both(media: Path) -> None:
    """The row in the database has its file still, and the instance has the new one and may be saved again."""
    row = loaded(new_report())
    row.clinic = "org_2"
    with transaction.atomic():
        row.save()
        transaction.set_rollback(True)
    assert loaded(row).clinic == "org_1"
    assert text_of(row) == SECRET
    row.save()
    assert (loaded(row).clinic, text_of(row)) == ("org_2", SECRET)


def test_a_column_that_another_one_changed_is_no_move() -> None:
    """What was changed in the database behind the program's back does not make a file open."""
    row = new_report()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE files_report SET clinic = 'org_2'")
    row = loaded(row)
    row.save()
    with pytest.raises(WrongBinding):
        text_of(row)
