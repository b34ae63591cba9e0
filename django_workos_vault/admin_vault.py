"""The Vault page of the admin: how vaults, columns, runs and checks do, and who looked at what this week."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_workos_vault.admin_read_only import ReadOnlyAdmin
from django_workos_vault.maintenance.engine import runs
from django_workos_vault.models import MaintenanceRun
from django_workos_vault.overview.accesses import bars, week_of_accesses
from django_workos_vault.overview.columns import sampled_columns
from django_workos_vault.overview.findings import last_check
from django_workos_vault.overview.health import vaults_health
from django_workos_vault.overview.runs import databases, newest_runs

_VERBS: dict[str, Any] = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}

#: of no run's number
_DIGITS = 19


class VaultPageAdmin(ReadOnlyAdmin):
    """The page stands where the list of a model would. It takes the permission ``view_vaultcheck``.

    Buttons that pause, resume and cancel runs take ``change_maintenancerun`` as well, the week of access
    records ``view_accessrecord``. The template is ``admin/django_workos_vault/vault_page.html``.
    """

    page_template = "admin/django_workos_vault/vault_page.html"

    class Media:
        css = {"all": ["django_workos_vault/vault_page.css"]}

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may pause, resume and cancel runs."""
        return request.user.has_perm("django_workos_vault.change_maintenancerun")

    def get_urls(self) -> list[Any]:
        turn = self.admin_site.admin_view(self.turn_run_view)
        return [path("run/", turn, name="django_workos_vault_turn_run"), *super().get_urls()]

    @method_decorator(never_cache)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the page."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        check, findings = last_check()
        sees_records = request.user.has_perm("django_workos_vault.view_accessrecord")
        week = week_of_accesses() if sees_records else None
        context = {
            **self.admin_site.each_context(request),
            "title": _("Vault"),
            "media": self.media,
            "opts": self.opts,
            "vaults": list(vaults_health()),
            "columns": sampled_columns(),
            "runs": newest_runs(),
            "may_turn_runs": self.has_run_permission(request),
            "turn_url": reverse("admin:django_workos_vault_turn_run", current_app=self.admin_site.name),
            "check": check,
            "findings": findings,
            "week": week,
            "week_bars": bars(week) if week else [],
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.page_template, context)

    @method_decorator(require_POST)
    def turn_run_view(self, request: HttpRequest) -> HttpResponse:
        """Do to the run ``run`` in the database ``using`` what ``verb`` says; all three are posted."""
        if not (self.has_view_permission(request) and self.has_run_permission(request)):
            raise PermissionDenied
        verb, using, number = (request.POST.get(name, "") for name in ("verb", "using", "run"))
        if verb in _VERBS and using in databases() and number.isdecimal() and len(number) < _DIGITS:
            self._turn(request, verb, using, int(number))
        else:
            self.message_user(request, _("There is no such run."), messages.ERROR)
        page = reverse("admin:django_workos_vault_vaultcheck_changelist", current_app=self.admin_site.name)
        return HttpResponseRedirect(page)

    def _turn(self, request: HttpRequest, verb: str, using: str, number: int) -> None:
        try:
            run = runs.find(number, using)
            turned = _VERBS[verb](run) is not False
        except runs.RunRefused as exc:
            self.message_user(request, str(exc), messages.ERROR)
            return
        if not turned:
            message = _("Run %(number)s is %(state)s: nothing was changed.")
            level = messages.WARNING
        else:
            message = _("Run %(number)s is %(state)s.")
            level = messages.SUCCESS
            self.log_change(request, run, verb)
        state = MaintenanceRun.State(run.state).label
        self.message_user(request, message % {"number": number, "state": state}, level)
