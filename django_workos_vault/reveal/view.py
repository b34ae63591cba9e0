"""One request for one value: asked by GET, answered to POST, and on record before anything is shown."""

import logging
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.utils.encoding import escape_uri_path
from django.utils.translation import gettext as _

from django_workos_vault.access import AccessRecords, Entry, LimitReached
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
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.views import file_response
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.handler import vaults
from django_workos_vault.masked_forms import FAILURES, explain_failure
from django_workos_vault.reveal import refusals, requests
from django_workos_vault.reveal.pages import address, page, without_traces
from django_workos_vault.reveal.refusals import Refused
from django_workos_vault.reveal.targets import Target, find
from django_workos_vault.reveal.values import Wording

logger = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST")
_NOT_OPENED = (DecryptionForbidden, EnvelopeError, InvalidVaultConfiguration, VaultError)


def reveal_view(model_admin: Any, request: HttpRequest, **named: str) -> HttpResponseBase:
    """Answer a request for the value at ``object_id``, ``field_name`` and perhaps ``inline`` and ``row``."""
    if request.method not in _METHODS:
        return HttpResponseNotAllowed(_METHODS)
    return Reveal(model_admin, request, named).answer()


class Reveal:
    """One request. Whatever is refused is on record, and has a page that says why."""

    def __init__(self, model_admin: Any, request: HttpRequest, named: dict[str, str]) -> None:
        self._admin = model_admin
        self._request = request
        self._named = named
        self._settings: AdminSettings = admin_settings()
        self._target: Target | None = None
        self._reason = request.POST.get("reason", "").strip()

    def answer(self) -> HttpResponseBase:
        """Return the page that asks, the value, or the refusal."""
        try:
            return self._answer()
        except AccessNotRecorded as exc:
            logger.error("Nothing was revealed: %s", exc)
            return self._page(503, message=refusals.NO_RECORD)
        except Refused as refused:
            return self._refusal(refused)

    def _answer(self) -> HttpResponseBase:
        self._target = target = find(self._admin, self._request, **self._named)
        may = self.allowed(target)
        if not any(may.values()):
            raise Refused(403, refusals.NOT_ALLOWED, "no permission")
        if self._request.method != "POST":
            return self._page(200)
        verb = self._request.POST.get("verb", "")
        if verb not in may:
            raise Refused(400, refusals.UNKNOWN, "unknown request")
        if not may[verb]:
            told = refusals.NOT_TO_COMPARE if verb == "match" else refusals.NOT_ALLOWED
            raise Refused(403, told, "no permission")
        said = self._request.POST.get("said", "")
        missing = self._missing(verb, said)
        if missing:
            return self._page(422, message=missing)
        if requests.needs_password(self._request, self._settings):
            requests.check_password(self._request, self._records, self._entry("denied"))
        if verb in ("download", "preview"):
            return self._file(as_attachment=verb == "download")
        return self._revealed() if verb == "reveal" else self._compared(said)

    def allowed(self, target: Target) -> dict[str, bool]:
        """Return what the user may do with the value, by the hooks of the admin class."""
        asked = self._request, target.instance, target.field.name
        if isinstance(target.field, EncryptedFileField):
            may = bool(target.options.has_reveal_permission(*asked))
            return {"download": may, "preview": may}
        return {
            "reveal": bool(target.options.has_reveal_permission(*asked)),
            "match": bool(target.options.has_match_permission(*asked)),
        }

    def _missing(self, verb: str, said: str) -> str:
        if self._settings.reason_required and not self._reason:
            return _("Say why: the reason goes on record.")
        if verb == "match" and not said.strip():
            return _("Enter what to compare with.")
        return ""

    @leaves_no_locals
    def _revealed(self) -> HttpResponse:
        value = self._opened()
        text = Wording(self._whole_target.field).of(value)
        self._record("reveal")
        seconds = int(self._settings.reveal_for.total_seconds())
        response = self._page(200, shown=True, value=text, seconds=seconds)
        # Without JavaScript, too, it goes: the browser comes back to the page that asks.
        response.headers["Refresh"] = f"{seconds}; url={escape_uri_path(self._request.path)}"
        return response

    @leaves_no_locals
    def _compared(self, said: str) -> HttpResponse:
        same = Wording(self._whole_target.field).is_said(said, self._opened())
        self._record("match", outcome="yes" if same else "no")
        told = _("Yes, it is the same.") if same else _("No, it is not the same.")
        return self._page(200, message=told, answered=True)

    def _file(self, *, as_attachment: bool) -> HttpResponseBase:
        """Return a file: as a download, or inline where browsers do no more than show its type."""
        target = self._whole_target
        file: Any = getattr(target.instance, target.field.name)
        if not file:
            raise Refused(404, refusals.NO_VALUE, "no value")
        try:
            sealed = file.storage.opened(file.name)
            try:
                self._record("reveal", outcome="" if as_attachment else "shown")
            except BaseException:
                sealed.close()
                raise
            answer = file_response(self._request, sealed, as_attachment=as_attachment)
        except FileNotFoundError:
            raise Refused(404, refusals.NO_VALUE, "no such file") from None
        except _NOT_OPENED as exc:
            told = (
                explain_failure(exc) if isinstance(exc, FAILURES) else _("The stored value cannot be opened.")
            )
            status = 503 if is_outage(exc) else 409
            raise Refused(status, told, f"not opened: {type(exc).__name__}") from None
        without_traces(answer)
        return answer

    @leaves_no_locals
    def _opened(self) -> Any:
        target: Any = self._whole_target
        try:
            held = target.field.held_by(target.instance)
            value = held.open(target.instance) if isinstance(held, Withheld) else held
        except ObjectDoesNotExist:
            raise Refused(404, refusals.GONE, "no such row") from None
        except FAILURES as exc:
            status = 503 if is_outage(exc) else 409
            raise Refused(status, explain_failure(exc), f"not opened: {type(exc).__name__}") from None
        except _NOT_OPENED as exc:
            told = _("The stored value cannot be opened.")
            raise Refused(409, told, f"not opened: {type(exc).__name__}") from None
        if value is None:
            raise Refused(404, refusals.NO_VALUE, "no value")
        return value

    # The record

    @property
    def _records(self) -> AccessRecords:
        return vaults.access_records()

    @property
    def _whole_target(self) -> Target:
        assert self._target is not None  # noqa: S101 -- found before anything is opened
        return self._target

    def _entry(self, action: str, outcome: str = "") -> Entry:
        target = self._target
        if target is not None:
            instance, field = target.instance, target.field
            what = {"model": instance._meta.label, "object_pk": str(instance.pk), "field": field.name}
            what["vault"] = field.vault_alias
        else:
            inline = self._named.get("inline", "")
            what = {
                "model": inline or self._admin.opts.label,
                "object_pk": unquote(self._named["row"] if inline else self._named["object_id"]),
                "field": self._named["field_name"],
            }
        return requests.entry(
            self._request, self._settings, action, reason=self._reason, outcome=outcome, **what
        )

    def _record(self, action: str, outcome: str = "") -> None:
        told = self._entry(action, outcome)
        try:
            self._records.append([told], *requests.limits(action, self._settings))
        except LimitReached as exc:
            raise requests.too_often(exc.limit) from None

    def _refusal(self, refused: Refused) -> HttpResponse:
        try:
            self._records.append([self._entry("denied", refused.outcome)])
        except AccessNotRecorded as exc:
            logger.error("A refusal could not be recorded: %s", exc)
        return self._page(refused.status, message=refused.message)

    # The page

    def _page(self, status: int, **told: Any) -> HttpResponse:
        target = self._target
        may = {} if target is None or status in (403, 404) else self.allowed(target)
        context = {
            "title": _("Reveal") if target is None else f"{_('Reveal')}: {target.field.verbose_name}",
            "original": None if target is None else target.instance,
            "field": None if target is None else target.field,
            "back": address(self._admin, "change", unquote(self._named["object_id"])),
            "may": may,
            "reason": self._reason,
            "reason_required": self._settings.reason_required,
            "asks_password": requests.needs_password(self._request, self._settings),
            "failed": status >= 400,
            **told,
        }
        return page(self._admin, self._request, "reveal.html", context, status)
