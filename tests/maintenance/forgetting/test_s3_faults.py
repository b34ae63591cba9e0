"""``vault_forget`` and files on S3 that it cannot look at: they are told, and the keys stay."""

from typing import Any

import pytest

from tests.app.models import Patient
from tests.files.models import Report
from tests.maintenance.forgetting.faulty_s3 import FAULTS, FaultyS3, at
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


def counted(report: dict[str, Any]) -> dict[str, int]:
    """Return the counts of the one field that are not 0, and how many of the errors were not 404."""
    [files] = report["files"]
    names = ("inline", "inline_of_others", "not_read", "not_read_of_others")
    missing = files["unread"].get("FileNotFoundError", 0)
    faults = {"missing": missing, "faults": sum(files["unread"].values()) - missing}
    return {
        name: number for name, number in ({name: files[name] for name in names} | faults).items() if number
    }


@pytest.mark.parametrize("status", FAULTS)
def test_a_fault_stays_where_it_is(s3: FaultyS3, status: str) -> None:
    """Those of the customer and of others that S3 does not give are counted apart; the rest is as ever."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        kept, faulty, missing = (report_of("org_1") for _ in range(3))
        carrier, hidden, other = (
            handed_over(report_of("org_1")),
            handed_over(report_of("org_1")),
            report_of("org_2"),
        )
        s3.faults = {faulty.file.name: status, hidden.file.name: status}
        missing.file.storage.inner.delete(missing.file.name)
        error, told = failing(CONTEXT)
        assert str(error).startswith("Nothing was changed. A storage did not give files: 2 of ")
        assert "files.Report.file: the file is not there, cannot be read" in told
        assert opens(patient, "ssn")
        report = forget(CONTEXT, despite_unread_files=True)
        assert report["done"]["finished"]
        assert not opens(patient, "ssn")
        found = {"inline": 2, "inline_of_others": 1, "not_read": 2, "not_read_of_others": 1}
        assert counted(report) == {**found, "missing": 1, "faults": 2}
        assert "2 of files.Report.file: the file is not there, cannot be read" in reasons(report)
        assert f"ANOTHER key context by now: {carrier.pk}." in reasons(report)
        assert counted(forget(CONTEXT)) == {"inline": 1, "not_read": 2, "missing": 1, "faults": 1}
        s3.faults.clear()
        assert counted(forget(CONTEXT)) == {"inline": 2, "not_read": 1, "missing": 1}
        for each in (carrier, hidden):
            handed_over(each, "org_1")  # to which their files are bound
        assert all(opens(each, "file") for each in (kept, faulty, carrier, hidden, other))


def test_what_it_costs(s3: FaultyS3) -> None:
    """While there are keys to destroy, one request for each file; after that, for each of the customer's."""
    with vault_of("reference"):
        for clinic in ("org_1", "org_1", "org_2"):
            report_of(clinic)
        for requests in (3, 2):
            s3.reads = 0
            forget(CONTEXT)
            assert s3.reads == requests


def test_while_s3_is_away(s3: FaultyS3, settings: Any) -> None:
    """Two files are enough: nothing is destroyed. With the option, no row and no file is touched."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        names = {report_of(clinic).file.name for clinic in ("org_1", "org_2")}
        settings.STORAGES = at("http://127.0.0.1:9")
        error, _ = failing(CONTEXT)
        assert "2 of files.Report.file (2 EndpointConnectionError)" in str(error)
        assert opens(patient, "ssn")
        report = forget(CONTEXT, despite_unread_files=True)
        assert counted(report) == {"not_read": 1, "not_read_of_others": 1, "faults": 2}
        assert "2 EndpointConnectionError" in reasons(report)
        assert report["done"]["finished"]
        assert not opens(patient, "ssn")
        assert set(Report.objects.values_list("file", flat=True)) == names
