"""``vault_forget`` and many files on S3: several at a time, and not for long where it is out."""

import threading
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from storages.backends.s3 import S3Storage

from django_workos_vault.maintenance.files.many import FAILURES_IN_A_ROW
from django_workos_vault.models import DataKeyRecord
from tests.app.models import Patient
from tests.files.models import Report
from tests.maintenance.forgetting.faulty_s3 import FaultyS3, at
from tests.maintenance.forgetting.forgetting import (
    CONTEXT,
    customer,
    failing,
    forget,
    handed_over,
    opens,
    report_of,
    vault_of,
)

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def files(s3: FaultyS3) -> Iterator[Any]:
    """A file that is kept, in many rows that are another customer's by now; and a cell under the same key."""
    with vault_of("reference"):
        patient = Patient.objects.create(organization=customer("org_1"), ssn="123-45-6789")
        report = handed_over(report_of("org_1"))
        Report.objects.bulk_create([Report(clinic="org_2", file=report.file.name) for _ in range(59)])
        s3.reads = 0
        yield patient


def keys() -> int:
    return DataKeyRecord.objects.filter(key_context={"organization_id": "org_1"}).count()


def test_as_many_at_a_time_as_the_client_has_connections(s3: FaultyS3, files: Any, settings: Any) -> None:
    """Each request is answered when four are there: one after the other, none of them would be."""
    settings.STORAGES = at(s3.url, max_pool_connections=4)
    together = threading.Barrier(4)
    s3.met = lambda: together.wait(timeout=4)
    [found] = forget(CONTEXT)["files"]
    assert (found["inline_of_others"], found["not_read_of_others"], s3.reads) == (60, 0, 60)
    assert found["inline_others"] == [
        str(pk) for pk in Report.objects.order_by("pk").values_list("pk", flat=True)[:20]
    ]


def test_no_other_thread_asks_the_storage_where_files_are(
    s3: FaultyS3, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some storages look that up in the thread that serves a tenant."""
    asked_in = set()

    def parameters(self: Any, name: str) -> dict[str, Any]:
        asked_in.add(threading.current_thread())
        return {}

    monkeypatch.setattr(S3Storage, "get_object_parameters", parameters)
    assert forget(CONTEXT)["files"][0]["inline_of_others"] == 60
    assert asked_in == {threading.current_thread()}


@pytest.mark.parametrize("status", ["503 Service Unavailable", "500 Oops", "429 Too Many Requests", None])
def test_a_storage_that_is_out(s3: FaultyS3, files: Any, settings: Any, status: str | None) -> None:
    """It is asked for a few files, not for each; nothing is destroyed unless that is said."""
    s3.everything = status
    if status is None:
        settings.STORAGES = at("http://127.0.0.1:9")
    error, told = failing(CONTEXT)
    assert str(error).startswith(
        "Nothing was changed. A storage did not give files: 60 of files.Report.file ("
    )
    name = "ClientError" if status else "EndpointConnectionError"
    assert name in str(error)
    assert s3.reads <= FAILURES_IN_A_ROW + 10
    assert "NotAsked" in told
    assert keys() == 1
    assert opens(files, "ssn")
    with pytest.raises(CommandError, match="Nothing was changed"):
        call_command("vault_forget", CONTEXT, plan=True, stdout=StringIO())
    document = forget(CONTEXT, despite_unread_files=True)
    [found] = document["files"]
    assert found["not_read_of_others"] == sum(found["unread"].values()) == 60
    assert found["unread"].keys() == {name, "NotAsked"}
    assert found["not_given"] == found["unread"]
    assert document["done"]["finished"]
    assert (keys(), opens(files, "ssn")) == (0, False)


def test_after_the_keys_are_gone_a_storage_that_is_out_stops_nothing(s3: FaultyS3, files: Any) -> None:
    Report.objects.update(clinic="org_1")
    forget(CONTEXT)
    s3.everything, s3.reads = "500 Oops", 0
    document = forget(CONTEXT)
    assert (document["done"]["finished"], "NotAsked" in document["files"][0]["unread"]) == (True, True)
    assert s3.reads <= FAILURES_IN_A_ROW + 10


def test_files_that_are_missing_one_after_the_other(s3: FaultyS3, files: Any) -> None:
    """The storage is there: each is asked for, and told. What is gone carries no key, and stops nothing."""
    there = Report.objects.order_by("pk")[:1]
    Report.objects.exclude(pk__in=list(there.values_list("pk", flat=True))).update(file="nowhere")
    document = forget(CONTEXT)
    [found] = document["files"]
    assert (found["not_read_of_others"], found["not_given"], s3.reads) == (59, {}, 60)
    assert document["done"]["finished"]


def test_files_all_of_which_are_missing(s3: FaultyS3, files: Any, settings: Any) -> None:
    """It is another bucket, or a disk that is not there, where one looked: nothing is destroyed."""
    settings.STORAGES["default"]["OPTIONS"]["bucket_name"] = "another"
    settings.STORAGES = dict(settings.STORAGES)
    error, _ = failing(CONTEXT)
    assert "60 of files.Report.file (60 FileNotFoundError)" in str(error)
    assert keys() == 1
    assert forget(CONTEXT, despite_unread_files=True)["done"]["finished"]
    assert forget(CONTEXT)["done"]["finished"]  # when there is no key left to lose


def test_files_that_are_denied_one_after_the_other(s3: FaultyS3, files: Any) -> None:
    """The storage is there, and each is asked for. They may be there too: nothing is destroyed."""
    s3.everything = "403 Forbidden"
    error, _ = failing(CONTEXT)
    assert "60 of files.Report.file (60 " in str(error)
    assert (s3.reads, keys()) == (60, 1)
    assert forget(CONTEXT, despite_unread_files=True)["done"]["finished"]


def test_failures_with_files_between_them(s3: FaultyS3, files: Any, settings: Any) -> None:
    """Every third is given: the storage is there."""
    settings.STORAGES = at(s3.url, max_pool_connections=1)
    for n, report in enumerate(Report.objects.order_by("pk")):
        if n % 3:
            Report.objects.filter(pk=report.pk).update(file="faulty")
    s3.faults = {"faulty": "503 Service Unavailable"}
    [found] = forget(CONTEXT, despite_unread_files=True)["files"]
    assert (found["inline_of_others"], found["unread"], s3.reads) == (20, {"ClientError": 40}, 60)
