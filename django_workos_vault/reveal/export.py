"""Values of many rows to a file, as a lawful request asks for: with a reason, and each on record."""

import csv
import io
import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from django_workos_vault.access import Entry
from django_workos_vault.admin_settings import AdminSettings, admin_settings
from django_workos_vault.exceptions import (
    AccessNotRecorded,
    DecryptionForbidden,
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    is_outage,
)
from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.masking import UNREADABLE
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.handler import vaults
from django_workos_vault.masked_forms import explain_failure
from django_workos_vault.reveal import refusals, requests
from django_workos_vault.reveal.pages import address, page, without_traces
from django_workos_vault.reveal.refusals import Refused
from django_workos_vault.reveal.targets import shown_fields
from django_workos_vault.reveal.values import Wording

#: Rows of one file.
MOST = 1000

#: What a spreadsheet takes for a formula (OWASP, CSV Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_page(model_admin: Any, request: HttpRequest, pks: Iterable[Any], **told: Any) -> HttpResponse:
    """Return the page that asks for the reason, for the rows with these keys."""
    settings = admin_settings()
    context = {
        "title": _("Reveal to a file"),
        "where": address(model_admin, "reveal_to_file"),
        "back": address(model_admin, "changelist"),
        "rows": json.dumps([str(pk) for pk in pks]),
        "fields": [field for field in model_admin.model._meta.fields if isinstance(field, VaultField)],
        "asks_password": requests.needs_password(request, settings),
        "may_ask": True,
        **told,
    }
    return page(model_admin, request, "export.html", context, told.get("status", 200))


def export_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Answer the page with the file, as CSV."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    return Export(model_admin, request).answer()


class Export:
    """One request for one file."""

    def __init__(self, model_admin: Any, request: HttpRequest) -> None:
        self._admin = model_admin
        self._request = request
        self._settings: AdminSettings = admin_settings()
        self._reason = request.POST.get("reason", "").strip()
        self._pks: list[str] = []

    def answer(self) -> HttpResponse:
        """Return the file, or the page again with what is missing or was refused."""
        try:
            return self._answer()
        except AccessNotRecorded:
            return self._page(503, refusals.NO_RECORD, may_ask=False)
        except Refused as refused:
            with suppress(AccessNotRecorded):  # it is logged, and this is refused anyway
                vaults.access_records().append([self._entry("denied", outcome=refused.outcome)])
            again = refused.status == 403 and bool(self._pks)
            return self._page(refused.status, refused.message, may_ask=again)

    @leaves_no_locals
    def _answer(self) -> HttpResponse:
        if not self._admin.has_reveal_to_file_permission(self._request):
            raise Refused(403, refusals.NOT_TO_EXPORT, "no permission")
        self._pks = self._named_rows()
        rows = self._rows()
        fields = self._fields(rows[0])
        if not self._reason:
            return self._page(422, _("Say why: the reason goes on record."))
        if requests.needs_password(self._request, self._settings):
            requests.check_password(self._request, vaults.access_records(), self._entry("denied"))
        entries: list[Entry] = []
        table = [[str(row.pk), *(self._cell(row, field, entries) for field in fields)] for row in rows]
        vaults.access_records().append(entries)
        return self._file([["pk", *(field.name for field in fields)], *table])

    def _named_rows(self) -> list[str]:
        try:
            named = json.loads(self._request.POST.get("rows", ""))
        except (ValueError, RecursionError):
            named = None
        if not isinstance(named, list) or not named or not all(isinstance(pk, str) for pk in named):
            raise Refused(400, refusals.UNKNOWN, "unknown request")
        if len(named) > MOST:
            raise Refused(400, refusals.UNKNOWN, "too many rows")
        return named

    def _rows(self) -> list[Model]:
        rows = self._admin.get_queryset(self._request)
        try:
            found = list(rows.filter(pk__in=self._pks).order_by("pk"))
        except (ValidationError, DataError, ValueError, OverflowError):
            found = []  # a key of another type
        found = [row for row in found if self._admin.has_view_or_change_permission(self._request, row)]
        if not found:
            raise Refused(404, refusals.GONE, "no such row")
        return found

    def _fields(self, row: Model) -> list[VaultField]:
        shown = shown_fields(self._admin, self._request, row)
        named = self._request.POST.getlist("field")
        fields = [
            field
            for field in row._meta.fields
            if isinstance(field, VaultField) and field.name in shown and field.name in named
        ]
        if not fields or len(fields) != len(set(named)):
            raise Refused(404, refusals.NO_FIELD, "no encrypted field of this page")
        return fields

    def _cell(self, row: Model, field: VaultField, entries: list[Entry]) -> str:
        """Return what the file has of one value, and put on ``entries`` what goes on record of it."""
        if not self._admin.has_reveal_to_file_permission(self._request, row, field.name):
            entries.append(self._entry("denied", row, field, "no permission"))
            return str(refusals.NOT_ALLOWED)
        try:
            held = field.held_by(row)
            value = held.open(row) if isinstance(held, Withheld) else held
        except (DecryptionForbidden, EnvelopeError, InvalidVaultConfiguration, VaultError) as exc:
            if is_outage(exc):
                told = explain_failure(exc)
                raise Refused(503, told, f"not opened: {type(exc).__name__}") from None
            entries.append(self._entry("denied", row, field, f"not opened: {type(exc).__name__}"))
            return str(UNREADABLE)
        entries.append(self._entry("export", row, field))
        return "" if value is None else Wording(field).of(value)

    def _entry(self, action: str, row: Any = None, field: Any = None, outcome: str = "") -> Entry:
        return requests.entry(
            self._request,
            self._settings,
            action,
            model=self._admin.opts.label,
            object_pk="" if row is None else str(row.pk),
            field="" if field is None else field.name,
            vault="" if field is None else field.vault_alias,
            reason=self._reason,
            outcome=outcome,
        )

    def _file(self, table: list[list[str]]) -> HttpResponse:
        text = io.StringIO()
        csv.writer(text).writerows([harmless(cell) for cell in line] for line in table)
        response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
        response.headers["Content-Disposition"] = f'attachment; filename="{self._admin.opts.model_name}.csv"'
        response.headers["X-Content-Type-Options"] = "nosniff"
        return without_traces(response)

    def _page(self, status: int, message: object, **told: Any) -> HttpResponse:
        told = {"message": message, "reason": self._reason, **told}
        return export_page(self._admin, self._request, self._pks, status=status, **told)


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: one that begins like it gets an apostrophe."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
