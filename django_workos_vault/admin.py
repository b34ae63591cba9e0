"""The masked admin: no page carries the plaintext of an encrypted field.

Add :class:`MaskedAdminMixin` to a ``ModelAdmin`` and to its inlines; nothing is told field by field.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from django_workos_vault.admin_lookups import encrypted_field, takes_any_text
from django_workos_vault.admin_records import AccessRecordAdmin
from django_workos_vault.admin_vault import VaultPageAdmin
from django_workos_vault.exceptions import DecryptionForbidden, EnvelopeError, VaultError, is_outage
from django_workos_vault.fields.masking import CANNOT_BE_OPENED, masked_or_marked, masked_value
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.masked_forms import FAILURES, MaskedModelForm, explain_failure
from django_workos_vault.models import AccessRecord, VaultCheck
from django_workos_vault.paths import encrypted_path
from django_workos_vault.reveal.admin import MEDIA, Button, RevealAdmin, buttons, no_buttons
from django_workos_vault.reveal.file_facts import file_facts
from django_workos_vault.reveal.filters import CannotBeOpenedFilter

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    _Admin = ModelAdmin[Any]
else:
    _Admin = object

__all__ = [
    "AccessRecordAdmin",
    "CannotBeOpenedFilter",
    "MaskedAdminMixin",
    "MaskedColumn",
    "MaskedModelForm",
    "VaultPageAdmin",
]

_FAILURE = "_workos_vault_failure"
_ACTION = "CHANGE_FORM"
_SAVING = frozenset(("_save", "_continue", "_addanother"))


class MaskedAdminMixin(RevealAdmin, _Admin):
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
        context["adminform"] = _MaskedPart(context["adminform"], buttons(self, request, row))
        context["inline_admin_formsets"] = [
            _MaskedPart(
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
        form_class.vault_failure = getattr(request, _FAILURE, None)
        if request.method == "POST" and obj is None and not change:
            form_class.prefilled = self.get_changeform_initial_data(request)
        return form_class

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs["form"] = _masked_form(kwargs.get("form", self.form))
        return super().get_formset(request, obj, **kwargs)  # type: ignore[misc]

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["form"] = _masked_form(kwargs.get("form", MaskedModelForm))
        form_class: Any = super().get_changelist_form(request, **kwargs)
        form_class.vault_failure = getattr(request, _FAILURE, None)
        return form_class

    # What Vault refuses while a page is posted is an error on the page

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _with_failure_in_form(super().add_view, request, *args, **kwargs)

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if f"{_ACTION}-action" not in request.POST or _SAVING.intersection(request.POST):
            return _with_failure_in_form(super().change_view, request, *args, **kwargs)
        try:  # an action of Django 6.1's form, not to be run twice
            return super().change_view(request, *args, **kwargs)
        except FAILURES as exc:
            return self._tell_failure(request, exc, request.get_full_path())

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        view = super().changelist_view
        if request.method == "POST" and "_save" in request.POST:
            return _with_failure_in_form(view, request, *args, **kwargs)
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

    # Exports of django-import-export, and the preview of its imports

    def get_export_resource_classes(self, request: HttpRequest) -> Any:
        return _masked_resources(super().get_export_resource_classes(request))  # type: ignore[misc]

    def get_import_resource_classes(self, request: HttpRequest) -> Any:
        return _masked_resources(super().get_import_resource_classes(request))  # type: ignore[misc]

    # Pages of django-simple-history and django-reversion, which have views of their own

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:  # django-simple-history opens every cell of the version to show
            return _with_failure_in_form(super().history_form_view, request, *args, **kwargs)  # type: ignore[misc]
        except FAILURES as exc:
            return self._tell_failure(request, exc, "../")

    def revision_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _with_failure_in_form(super().revision_view, request, *args, **kwargs)  # type: ignore[misc]

    def recover_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return _with_failure_in_form(super().recover_view, request, *args, **kwargs)  # type: ignore[misc]

    def render_history_view(self, request: HttpRequest, template: str, context: Any, **kwargs: Any) -> Any:
        if "adminform" in context:
            context["adminform"] = _MaskedPart(context["adminform"])
        for name in context.get("history_list_display", ()):
            for record in context["page_obj"]:
                field = encrypted_field(type(record), name)
                if field is not None:
                    setattr(record, name, MaskedColumn(field, name, self.get_empty_value_display())(record))
        return super().render_history_view(request, template, context, **kwargs)  # type: ignore[misc]

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> Any:
        helper = super().get_historical_record_context_helper(request, historical_record)  # type: ignore[misc]
        prepare = helper.prepare_delta_change_value

        def prepare_masked(change: Any, value: Any) -> Any:
            field = encrypted_field(self.model, change.field)
            return (
                prepare(change, value) if field is None or value is None else masked_or_marked(field, value)
            )

        helper.prepare_delta_change_value = prepare_masked
        return helper


def _with_failure_in_form(view: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
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


class MaskedColumn:
    """What the change list and read-only pages show of one encrypted field: called with an instance.

    ``path`` is the field's name, or a ``relation__field`` path from the instance.
    """

    admin_order_field = None

    def __init__(self, field: VaultField, path: str, empty: Any) -> None:
        self.__name__ = path
        self.short_description = field.verbose_name
        self._field = field
        self._path = path
        self._empty = empty
        self._no_use = False

    def __call__(self, instance: Model) -> Any:
        holder: Any = instance
        for step in self._path.split(LOOKUP_SEP)[:-1]:
            holder = getattr(holder, step, None)
        held = None if holder is None else self._field.held_by(holder)
        if held is None:
            return self._empty
        try:
            if self._no_use:
                return _marker()
            return masked_value(self._field, held)
        except (DecryptionForbidden, EnvelopeError, VaultError) as exc:
            self._no_use = is_outage(exc)  # or a page of rows would wait for Vault once a row
            return _marker()


def _masked_resources(classes: Any) -> list[Any]:
    from django_workos_vault.exports import masked_resource  # there is such a class, so its package is there

    return [masked_resource(resource_class) for resource_class in classes]


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


class _MaskedPart:
    """A part of an admin form (the form, a fieldset, a line, an inline), masked however deep it is nested.

    Django's helpers read the value of a read-only field from the instance and offer no hook.
    """

    def __init__(self, part: Any, button: Button = no_buttons) -> None:
        self._part = part
        self._button = button

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    def __iter__(self) -> Iterator[Any]:
        for part in self._part:
            if isinstance(part, helpers.AdminReadonlyField):
                yield _MaskedReadonlyField(part, self._button)
            elif isinstance(part, helpers.AdminField):
                form: Any = part.field.form
                form_field = part.field.field
                if hasattr(form_field.widget, "beside"):
                    form_field.widget.beside = self._button(form.instance, part.field.name)
                elif isinstance(form_field, forms.FileField):
                    row, name = form.instance, part.field.name
                    part.field.help_text = format_html(
                        "{} {} {}", part.field.help_text, file_facts(row, name), self._button(row, name)
                    )
                yield part
            else:
                yield _MaskedPart(part, self._button)


class _MaskedReadonlyField(_MaskedPart):
    def contents(self) -> Any:
        name, instance = self._part.field["field"], self._part.form.instance
        field = encrypted_field(type(instance), name)
        if field is None:
            shown = self._part.contents()
        else:
            shown = MaskedColumn(field, name, self._part.empty_value_display)(instance)
        if not isinstance(name, str):
            return shown
        facts, button = file_facts(instance, name), self._button(instance, name)
        return format_html("{} {}{}", shown, facts, button) if facts or button else shown


def _marker() -> Any:
    return format_html("<em>{}</em>", CANNOT_BE_OPENED)


if apps.is_installed("django.contrib.admin"):
    if not admin.site.is_registered(AccessRecord):
        admin.site.register(AccessRecord, AccessRecordAdmin)
    if not admin.site.is_registered(VaultCheck):
        admin.site.register(VaultCheck, VaultPageAdmin)
