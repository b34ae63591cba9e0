"""Which value an address names, and whether this page of the admin shows it to this user at all."""

from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import Model
from django.http import HttpRequest

from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.reveal.refusals import GONE, NO_FIELD, Refused


@dataclass(frozen=True, slots=True, repr=False)
class Target:
    """One field of one row. ``options`` is the ModelAdmin, or the inline, whose hooks decide."""

    options: Any
    instance: Model
    field: VaultField | EncryptedFileField


def find(
    model_admin: Any, request: HttpRequest, object_id: str, field_name: str, inline: str = "", row: str = ""
) -> Target:
    """Return what an address names: a field of the page's row, or of one of an inline's rows on the page.

    Raises Refused for everything that the page itself would not show to this user.
    """
    instance = _got(lambda: model_admin.get_object(request, unquote(object_id)))
    if instance is None or not model_admin.has_view_or_change_permission(request, instance):
        raise Refused(404, GONE, "no such row")
    if not inline:
        return Target(model_admin, instance, _field(model_admin, request, instance, instance, field_name))
    for options in model_admin.get_inline_instances(request, instance):
        if options.opts.label_lower != inline or not hasattr(options, "has_reveal_permission"):
            continue
        if not options.has_view_or_change_permission(request, instance):
            continue
        formset = options.get_formset(request, instance)
        rows = formset(instance=instance, queryset=options.get_queryset(request)).get_queryset()
        pk = unquote(row)
        found = next((each for each in rows if str(each.pk) == pk), None)
        if found is not None:
            return Target(options, found, _field(options, request, instance, found, field_name))
    raise Refused(404, GONE, "no such row")


def _got(get: Any) -> Any:
    try:
        return get()
    except (ValidationError, DataError, ValueError, OverflowError, ObjectDoesNotExist):
        return None  # no key of this type


def _field(options: Any, request: HttpRequest, page_of: Model, instance: Model, name: str) -> Any:
    try:
        field = instance._meta.get_field(name)
    except FieldDoesNotExist:
        field = None
    # What the page leaves out is not to be had by its address.
    if not isinstance(field, VaultField | EncryptedFileField) or name not in shown_fields(
        options, request, page_of
    ):
        raise Refused(404, NO_FIELD, "no encrypted field of this page")
    return field


def shown_fields(options: Any, request: HttpRequest, page_of: Model) -> set[Any]:
    """Return the names of the fields that a ModelAdmin, or an inline, shows on the page of a row."""
    return {
        *flatten_fieldsets(options.get_fieldsets(request, page_of)),
        *options.get_readonly_fields(request, page_of),
    }
