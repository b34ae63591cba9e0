"""What Vault refuses while a page is posted is an error on the page."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from django_workos_vault.masked_forms import FAILURES, explain_failure
from django_workos_vault.reveal.admin import RevealAdmin

_FAILURE = "_workos_vault_failure"
_ACTION = "CHANGE_FORM"
_SAVING = frozenset(("_save", "_continue", "_addanother"))


class TellsFailures(RevealAdmin):
    """The views of a ``ModelAdmin`` that write, or search."""

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return with_failure_in_form(super().add_view, request, *args, **kwargs)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if f"{_ACTION}-action" not in request.POST or _SAVING.intersection(request.POST):
            return with_failure_in_form(super().change_view, request, *args, **kwargs)
        try:  # an action of Django 6.1's form, not to be run twice
            return super().change_view(request, *args, **kwargs)
        except FAILURES as exc:
            return self._tell_failure(request, exc, request.get_full_path())

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().changelist_view
        if request.method == "POST" and "_save" in request.POST:
            return with_failure_in_form(view, request, *args, **kwargs)
        try:
            return view(request, *args, **kwargs)
        except FAILURES as exc:
            if request.method == "POST":
                return self._tell_failure(request, exc, request.get_full_path())
            if request.GET:  # a search; the list itself asks Vault for nothing that it cannot do without
                return self._tell_failure(request, exc, request.path)
            raise

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().delete_view(request, *args, **kwargs)
        except FAILURES as exc:
            if request.method != "POST":
                raise
            return self._tell_failure(request, exc, request.get_full_path())

    def _tell_failure(self, request: HttpRequest, failure: Exception, address: str) -> HttpResponse:
        self.message_user(request, explain_failure(failure), messages.ERROR)
        return HttpResponseRedirect(address)


def with_failure_in_form(view: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
    """Answer a POST that Vault let fail once more, with the failure as an error in the form.

    What the first attempt wrote has been rolled back. From outside of a companion's view, so that what that
    one notes of the attempt is gone too.
    """
    try:
        return view(request, *args, **kwargs)
    except FAILURES as exc:
        if request.method != "POST":
            raise
        setattr(request, _FAILURE, exc)
        return view(request, *args, **kwargs)


def failure_of(request: HttpRequest) -> Exception | None:
    """Return what the first attempt at ``request`` failed with."""
    return getattr(request, _FAILURE, None)
