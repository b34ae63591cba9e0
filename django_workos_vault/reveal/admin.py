"""What ``MaskedAdminMixin`` reveals: hooks, addresses, and the button beside each mask."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.db import connections, transaction
from django.db.models import Model
from django.http import HttpRequest
from django.urls import path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from django_workos_vault.admin_settings import admin_settings
from django_workos_vault.exceptions import AccessNotRecorded
from django_workos_vault.fields.django_internals.files import is_unsaved
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.handler import vaults
from django_workos_vault.reveal import permissions, requests
from django_workos_vault.reveal.actions import RevealActions
from django_workos_vault.reveal.export import export_view
from django_workos_vault.reveal.pages import address
from django_workos_vault.reveal.view import reveal_view

MEDIA = forms.Media(css={"all": ["django_workos_vault/reveal.css"]}, js=["django_workos_vault/reveal.js"])

#: Makes the button beside the mask of a row's field, or nothing.
Button = Callable[[Model, str], SafeString]


class RevealAdmin(RevealActions):
    """For ``ModelAdmin`` and inlines: who may see a value, and where they ask for it."""

    def has_reveal_permission(self, request: HttpRequest, obj: Any = None, field: str | None = None) -> bool:
        """Whether the user may see the value of ``field`` (a name) of the row ``obj``.

        That is ``view_plaintext_<model>``, unless this is extended.
        """
        return permissions.allowed(request.user, permissions.REVEAL, self.opts)

    def has_match_permission(self, request: HttpRequest, obj: Any = None, field: str | None = None) -> bool:
        """Whether the user may ask if it is what somebody says: ``match_plaintext_<model>``, or the above."""
        return self.has_reveal_permission(request, obj, field) or permissions.allowed(
            request.user, permissions.MATCH, self.opts
        )

    def get_urls(self) -> Any:
        return [*reveal_urls(self), *super().get_urls()]


def reveal_urls(model_admin: Any) -> list[Any]:
    """Return the patterns of the addresses that reveal: of a page's row, and of the rows of its inlines."""
    name = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"
    view = recorded_view(model_admin, reveal_view)
    return [
        path("reveal-to-file/", recorded_view(model_admin, export_view), name=f"{name}_reveal_to_file"),
        path("<path:object_id>/reveal/<str:field_name>/", view, name=f"{name}_reveal"),
        path(
            "<path:object_id>/reveal/<str:inline>/<str:row>/<str:field_name>/",
            view,
            name=f"{name}_reveal_inline",
        ),
    ]


def recorded_view(model_admin: Any, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``answer`` as a view of the admin that is outside of ``ATOMIC_REQUESTS``.

    The record of what was seen must not fall with a transaction of the request.
    """

    @sensitive_post_parameters()
    def view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return answer(model_admin, request, *args, **kwargs)

    inside = model_admin.admin_site.admin_view(view)

    def outside(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        user: Any = getattr(request, "user", None)
        if user is not None and user.is_authenticated and not model_admin.admin_site.has_permission(request):
            _record_stranger(model_admin, request, kwargs)
        return inside(request, *args, **kwargs)

    update_wrapper(outside, inside)
    for alias in connections:
        outside = transaction.non_atomic_requests(using=alias)(outside)
    return outside


def _record_stranger(model_admin: Any, request: HttpRequest, named: dict[str, str]) -> None:
    """Put the attempt of a user on record whom the admin lets nowhere."""
    told = {
        "model": named.get("inline") or model_admin.opts.label,
        "object_pk": unquote(named.get("row") or named.get("object_id", "")),
        "field": named.get("field_name", ""),
        "outcome": "no access to the admin",
    }
    try:
        vaults.access_records().append([requests.entry(request, admin_settings(), "denied", **told)])
    except AccessNotRecorded:
        return  # logged, and the user is sent to log in anyway


def buttons(model_admin: Any, request: HttpRequest, page_of: Model | None, inline: Any = None) -> Button:
    """Return what makes the buttons of one page: of its own row, or of those of an inline."""
    options = inline or model_admin

    def button(instance: Model, name: str) -> SafeString:
        field = _encrypted(instance, name)
        if page_of is None or instance.pk is None or instance._state.adding or field is None:
            return SafeString("")
        if not _holds_something(instance, field):
            return SafeString("")
        if options.has_reveal_permission(request, instance, name):
            word = _("Reveal")
        elif isinstance(field, VaultField) and options.has_match_permission(request, instance, name):
            word = _("Compare")
        else:
            return SafeString("")
        if inline:
            where = address(
                model_admin, "reveal_inline", page_of.pk, inline.opts.label_lower, instance.pk, name
            )
        else:
            where = address(model_admin, "reveal", page_of.pk, name)
        return format_html(
            '<a class="vault-reveal" href="{}" aria-label="{}: {}">{}</a>',
            where,
            word,
            field.verbose_name,
            word,
        )

    return button


def no_buttons(instance: Model, name: str) -> SafeString:
    """Make none: on pages of rows that are no longer stored so."""
    return SafeString("")


def _encrypted(instance: Model, name: str) -> VaultField | EncryptedFileField | None:
    field = next((each for each in instance._meta.concrete_fields if each.name == name), None)
    return field if isinstance(field, VaultField | EncryptedFileField) else None


def _holds_something(instance: Model, field: VaultField | EncryptedFileField) -> bool:
    if isinstance(field, VaultField):
        return field.held_by(instance) is not None
    file = getattr(instance, field.name)
    return bool(file) and not is_unsaved(file)
