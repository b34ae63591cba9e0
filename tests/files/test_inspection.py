"""``vault_check`` looks at encrypted files, and at orphans on both sides."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import override_settings

from tests.checked import checked
from tests.files.models import Report, Scan

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]


def findings(*options: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for each in checked(*options)["findings"]:
        if each["step"] == "files":
            found.setdefault(each["subject"], []).append(each)
    return found


def test_whole_files_are_in_order() -> None:
    """Files that open are told with their number; half of a sample are the oldest, half the newest."""
    for number in range(6):
        Scan.objects.create(file=ContentFile(b"x", name=f"{number}.png"))
    Report.objects.create(clinic="org_1", file=ContentFile(b"x", name="a.pdf"))
    found = findings("--files")
    assert [each["status"] for each in found["files.Scan.file"]] == ["ok", "ok"]
    assert found["files.Scan.file"][0]["message"].startswith("6 of 6 files")
    assert found["files.Report.file"][1]["message"] == "Every file sealed for it belongs to a row."
    assert findings("--sample", "4")["files.Scan.file"][0]["message"].startswith("4 of 6 files")


def test_files_that_are_gone_cut_or_in_clear(media: Path) -> None:
    """A file that is missing, cut between two frames, or still in clear is a problem, by row and reason."""
    gone, cut, clear, good = (
        Scan.objects.create(file=ContentFile(bytes(200_000), name=f"{number}.png")) for number in range(4)
    )
    default_storage.delete(gone.file.name)
    (media / cut.file.name).write_bytes((media / cut.file.name).read_bytes()[: 1024 + 65552])
    (media / clear.file.name).write_bytes(b"in clear")
    [finding] = findings()["files.Scan.file"]
    assert finding["status"] == "problem"
    assert f"FileNotFoundError: {gone.pk}" in finding["message"]
    assert f"TamperedEnvelope: {cut.pk}" in finding["message"]
    assert f"MalformedEnvelope: {clear.pk}" in finding["message"]
    assert str(good.pk) not in finding["message"].rpartition("opened.")[2]


def test_files_that_no_row_has() -> None:
    """A file that was replaced is found on the storage; files of others, plain ones and used ones are not."""
    scan = Scan.objects.create(file=ContentFile(b"x", name="old.png"))
    old = scan.file.name
    scan.file = ContentFile(b"y", name="new.png")  # type: ignore[assignment]
    scan.save()
    default_storage.save("scans/plain.txt", ContentFile(b"plain"))
    shared = Scan.objects.create(plain=old)
    assert [each["status"] for each in findings("--files")["files.Scan.file"]] == ["ok", "ok"]
    shared.delete()
    found = findings("--files")
    assert found["files.Scan.file"][1]["status"] == "problem"
    assert found["files.Scan.file"][1]["message"].endswith(f"belong to no row: {old}.")
    assert found["files.Report.file"][1]["status"] == "ok"


def test_an_outage_stops_that_step() -> None:
    """A vault that was not reached has its files left out, and nothing is said of them."""
    Scan.objects.create(file=ContentFile(b"x", name="a.png"))
    down = {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"api_key": "sk_test_x", "base_url": "http://127.0.0.1:9", "deadline": 0.5},
    }
    with override_settings(WORKOS_VAULTS={"default": down}):
        assert findings() == {}
