"""System checks over the admin: what it cannot do with an encrypted field, or would show of one."""

from collections.abc import Iterable, Iterator
from typing import Any

import django
from django.apps import apps
from django.contrib.admin.sites import all_sites
from django.core import checks
from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP

from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.admin_lookups import encrypted_field, reaches_encrypted_field, takes_any_text
from django_workos_vault.fields.column_paths import ordering_names
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField

_SEARCH_LOOKUPS = {"^": "istartswith", "=": "iexact", "@": "search"}


@checks.register(checks.Tags.admin)
def check_admin(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check every registered ModelAdmin of the given apps, and its inlines."""
    labels = None if app_configs is None else {config.label for config in app_configs}
    return [
        message
        for site in all_sites
        for model in apps.get_models(include_auto_created=True)
        if site.is_registered(model) and (labels is None or model._meta.app_label in labels)
        for message in check_options(site.get_model_admin(model))
    ]


def check_options(model_admin: Any) -> Iterator[checks.CheckMessage]:
    """Check the options of one ModelAdmin and of its inlines."""
    yield from _check_masking(model_admin.model, model_admin)
    yield from _check_lookups(model_admin.model, model_admin)
    yield from _check_names(model_admin.model, model_admin)
    for inline in model_admin.inlines:
        yield from _check_names(inline.model, inline)


def _check_masking(model: type[Model], model_admin: Any) -> Iterator[checks.CheckMessage]:
    inlines = [inline for inline in model_admin.inlines if _has_encrypted_fields(inline.model)]
    shows = bool(inlines) or _has_encrypted_fields(model)
    shows = shows or any(encrypted_field(model, item) for item in model_admin.list_display)  # over relations
    for admin_class in (*([type(model_admin)] if shows else []), *inlines):
        if not issubclass(admin_class, MaskedAdminMixin):
            yield checks.Warning(
                f"{admin_class.__name__} shows encrypted fields in plaintext.",
                hint="Put django_workos_vault.admin.MaskedAdminMixin in front of its base class; an inline's "
                "ModelAdmin needs it too.",
                obj=admin_class,
                id="django_workos_vault.W020",
            )


def _check_lookups(model: type[Model], model_admin: Any) -> Iterator[checks.CheckMessage]:
    for name in getattr(model_admin, "encrypted_lookups", ()):
        if encrypted_field(model, name) is None:
            yield checks.Error(
                f"encrypted_lookups names {name!r}, which is no encrypted field.",
                hint="Name fields, without a lookup: 'ssn', or 'patient__ssn' over a relation.",
                obj=type(model_admin),
                id="django_workos_vault.E100",
            )
    for item in model_admin.list_display:
        if (column := _ordered_by(model, model_admin, item)) is not None:
            yield checks.Error(
                f"list_display has a column that is ordered by the encrypted field {column!r}.",
                hint="Ciphertext has no order. Take the ordering out of the column's @admin.display().",
                obj=type(model_admin),
                id="django_workos_vault.E101",
            )
    primary_key = model._meta.pk
    if (
        not isinstance(model_admin, MaskedAdminMixin)
        and primary_key.is_relation
        and reaches_encrypted_field(primary_key.related_model)
    ):
        yield checks.Warning(
            f"{type(model_admin).__name__} lets whoever may view its list find out encrypted values: Django "
            "allows any lookup that begins with 'pk', and this primary key is a relation.",
            hint="Put django_workos_vault.admin.MaskedAdminMixin in front of its base class.",
            obj=type(model_admin),
            id="django_workos_vault.W100",
        )


def _ordered_by(model: type[Model], model_admin: Any, item: Any) -> str | None:
    shown = item if callable(item) else getattr(type(model_admin), item, getattr(model, item, None))
    if isinstance(shown, property):
        shown = shown.fget
    order = getattr(shown, "admin_order_field", None)
    return next((name for name in ordering_names([order]) if encrypted_field(model, name)), None)


def _check_names(model: type[Model], options: Any) -> Iterator[checks.CheckMessage]:
    admin_class = options if isinstance(options, type) else type(options)
    for number, option, names, why in (
        ("E021", "ordering", ordering_names(options.ordering or ()), "Ciphertext has no order."),
        ("E022", "list_filter", _filters(getattr(options, "list_filter", ())), "Ciphertext has no groups."),
        ("E023", "date_hierarchy", [getattr(options, "date_hierarchy", None)], "Ciphertext has no order."),
        ("E025", "list_editable", getattr(options, "list_editable", ()), "Edit the rows one by one."),
    ):
        for name in names:
            if name and encrypted_field(model, name) is not None:
                yield _refused(admin_class, number, option, name, why)
    for name in getattr(options, "search_fields", ()):
        if not _is_searchable(model, name):
            yield _refused(
                admin_class,
                "E024",
                "search_fields",
                name,
                _search_hint(model, name),
            )
        elif django.VERSION < (6, 1) and not issubclass(admin_class, MaskedAdminMixin):
            path = str(name).removesuffix(f"{LOOKUP_SEP}exact")
            if path != name and takes_any_text(encrypted_field(model, path)):
                yield checks.Error(
                    f"A search by {name!r} fails: before Django 6.1 the admin casts such a column to text.",
                    hint=f"Write '={path}', which asks for the same, or use MaskedAdminMixin.",
                    obj=admin_class,
                    id="django_workos_vault.E061",
                )
    if getattr(options, "save_as", False) and _has_encrypted_fields(model):
        yield checks.Error(
            "save_as would save a copy without the encrypted fields that were left blank.",
            hint="Leave save_as False.",
            obj=admin_class,
            id="django_workos_vault.E026",
        )


def _search_hint(model: type[Model], name: str) -> str:
    path = name.lstrip("^=@")
    field: Any = encrypted_field(model, path) or encrypted_field(model, path.rpartition(LOOKUP_SEP)[0])
    if encrypted_field(model, path) is None:
        path = path.rpartition(LOOKUP_SEP)[0]
    slots = field.digests.slots if isinstance(field, EncryptedField) else ()
    lookups = [lookup for _, kind in slots for lookup in (*kind.lookups[:1], kind.name)]
    if lookups:
        return f"Ciphertext has no parts. Search by {path + LOOKUP_SEP + lookups[0]!r}."
    return (
        f"Ciphertext has no parts. Take {path!r} out, or give it blind_indexes=[Exact()] and search by "
        + (f"{path + LOOKUP_SEP}exact.")
    )


def _refused(admin_class: type, number: str, option: str, name: str, why: str) -> checks.Error:
    return checks.Error(
        f"{option} names the encrypted field {name!r}.",
        hint=why,
        obj=admin_class,
        id=f"django_workos_vault.{number}",
    )


def _has_encrypted_fields(model: type[Model]) -> bool:
    return any(isinstance(field, VaultField) for field in model._meta.concrete_fields)


def _filters(list_filter: Iterable[Any]) -> Iterator[str]:
    for item in list_filter:
        name = item[0] if isinstance(item, list | tuple) else item
        if isinstance(name, str):
            yield name


def _is_searchable(model: type[Model], name: str) -> bool:
    lookup = _SEARCH_LOOKUPS.get(name[:1], "")
    path = name[1:] if lookup else name
    field = encrypted_field(model, path)
    if field is None and LOOKUP_SEP in path:
        path, _, lookup = path.rpartition(LOOKUP_SEP)
        field = encrypted_field(model, path)
    if field is None:
        return True
    return isinstance(field, EncryptedField) and bool(field.digests.slots_for(lookup or "icontains"))
