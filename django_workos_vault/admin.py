"""The masked admin: no page carries the plaintext of an encrypted field.

Add :class:`MaskedAdminMixin` to a ``ModelAdmin`` and to its inlines; nothing is told field by field.
"""

from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse

from django_workos_vault.admin_lookups import encrypted_field, takes_any_text
from django_workos_vault.admin_records import AccessRecordAdmin
from django_workos_vault.admin_vault import VaultPageAdmin
from django_workos_vault.masked_admin.column import MaskedColumn
from django_workos_vault.masked_admin.companions import CompanionPages
from django_workos_vault.masked_admin.failures import failure_of
from django_workos_vault.masked_admin.parts import MaskedPart
from django_workos_vault.masked_forms import MaskedModelForm
from django_workos_vault.models import AccessRecord, VaultCheck
from django_workos_vault.paths import encrypted_path
from django_workos_vault.reveal.admin import MEDIA, RevealAdmin, buttons, no_buttons
from django_workos_vault.reveal.filters import CannotBeOpenedFilter

__all__ = [
    "AccessRecordAdmin",
    "CannotBeOpenedFilter",
    "MaskedAdminMixin",
    "MaskedColumn",
    "MaskedModelForm",
    "VaultPageAdmin",
]


class MaskedAdminMixin(CompanionPages):
    """Masks every encrypted field, for ``ModelAdmin`` and inlines: ``class X(MaskedAdminMixin, ModelAdmin)``.

    In lists and on read-only pages a field's mask stands for its value. In forms the input is blank with the
    mask as placeholder: blank keeps the cell. A cell that cannot be opened is marked, and kept.

    ``encrypted_lookups`` names encrypted fields, ``"ssn"`` or ``"patient__ssn"``, by which an address may
    filter the list. Whoever may view the list can then find values out by trying.
    """

    encrypted_lookups: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.form = _masked_form(self.form)
        super().__init__(*args, **kwargs)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # Django allows every field of the model itself, and the answer would tell what the mask hides.
        rows = self.model._default_manager.all() if request is None else self.get_queryset(request)
        path = encrypted_path(rows, lookup)
        if path is not None and path not in self.encrypted_lookups:
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_search_fields(self, request: HttpRequest) -> Any:
        return [_search_by_text(self.model, str(name)) for name in super().get_search_fields(request)]

    def get_list_display(self, request: HttpRequest) -> Any:
        return [
            name
            if (field := encrypted_field(self.model, name)) is None
            else MaskedColumn(field, str(name), self.get_empty_value_display())
            for name in super().get_list_display(request)
        ]

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        links = super().get_list_display_links(request, list_display)
        masked: dict[Any, Any] = {
            column.__name__: column for column in list_display if isinstance(column, MaskedColumn)
        }
        return links and [masked.get(link, link) for link in links]

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context.get("original")
        context["adminform"] = MaskedPart(context["adminform"], buttons(self, request, row))
        context["inline_admin_formsets"] = [
            MaskedPart(
                one,
                buttons(self, request, row, one.opts) if isinstance(one.opts, RevealAdmin) else no_buttons,
            )
            for one in context["inline_admin_formsets"]
        ]
        context["media"] = context["media"] + MEDIA
        return super().render_change_form(request, context, *args, **kwargs)

    # Forms, whichever way Django or a companion makes them

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = _masked_form(kwargs.get("form", self.form))
        form_class: Any = super().get_form(request, obj, change=change, **kwargs)
        form_class.vault_failure = failure_of(request)
        if request.method == "POST" and obj is None and not change:
            form_class.prefilled = self.get_changeform_initial_data(request)
        return form_class

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs["form"] = _masked_form(kwargs.get("form", self.form))
        inline: Any = super()
        return inline.get_formset(request, obj, **kwargs)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["form"] = _masked_form(kwargs.get("form", MaskedModelForm))
        form_class: Any = super().get_changelist_form(request, **kwargs)
        form_class.vault_failure = failure_of(request)
        return form_class


def _search_by_text(model: type[Model], name: str) -> str:
    """Return what asks for the same and takes any text. Before Django 6.1 ``exact`` would cast a number."""
    path = name.removesuffix(f"{LOOKUP_SEP}exact")
    return name if path == name or not takes_any_text(encrypted_field(model, path)) else f"={path}"


def _masked_form(form_class: Any) -> Any:
    if issubclass(form_class, MaskedModelForm):
        return form_class
    if form_class is forms.ModelForm:
        return MaskedModelForm
    # Behind the class given, so that what it reads from its instance is not hidden from it.
    make_class = type(form_class)
    return make_class(
        form_class.__name__, (form_class, MaskedModelForm), {"__module__": form_class.__module__}
    )


if apps.is_installed("django.contrib.admin"):
    if not admin.site.is_registered(AccessRecord):
        admin.site.register(AccessRecord, AccessRecordAdmin)
    if not admin.site.is_registered(VaultCheck):
        admin.site.register(VaultCheck, VaultPageAdmin)
