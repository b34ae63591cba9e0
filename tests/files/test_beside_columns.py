"""An encrypted file and an encrypted column in one model: each goes its own way when the row is written."""

from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.files import EncryptedFileField
from tests.tables import tables

CONTEXT = {"organization_id": FromRow("tenant")}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "of the row": {"key_context": CONTEXT},
    "bound": {"key_context": CONTEXT, "bind_to": ("tenant",)},
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("column", OPTIONS)
@pytest.mark.parametrize("report", OPTIONS)
@isolate_apps("tests.app")
def test_every_way_of_writing_a_row(column: str, report: str, settings: Any, tmp_path: Path) -> None:
    """Whole, in part, deferred, in bulk, and as a fixture: value and file are there afterwards."""
    settings.MEDIA_ROOT = str(tmp_path)

    class Report(models.Model):
        tenant = models.CharField(max_length=9)
        ssn = EncryptedCharField(max_length=20, **OPTIONS[column])
        file = EncryptedFileField(upload_to="reports", null=True, **OPTIONS[report])

        class Meta:
            app_label = "app"

    with tables(Report):
        Report(tenant="org_1", ssn="123-45").file.save("report.txt", ContentFile(b"hello"))
        Report.objects.get().save()
        Report.objects.get().save(update_fields=["ssn"])
        Report.objects.defer("file", "ssn").get().save()
        row = Report.objects.only("tenant").get()
        row.tenant = "org_1"
        row.save()
        Report.objects.get().save_base(raw=True)  # as loaddata does
        Report.objects.bulk_update([Report.objects.get()], ["file"])
        Report.objects.bulk_create([Report(tenant="org_1", ssn="678-90")])
        first, second = Report.objects.order_by("pk")
        assert (first.ssn, second.ssn) == ("123-45", "678-90")
        with first.file.open() as stored:
            assert stored.read() == b"hello"
