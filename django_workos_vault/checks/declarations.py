"""System checks of what a model declares over an encrypted column, which would fail late or never."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Manager, Model, QuerySet

from django_workos_vault.fields.bulk import EncryptedQuerySet
from django_workos_vault.fields.column_paths import columns_read, ordering_names
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.paths import encrypted_path


@checks.register(checks.Tags.models)
def check_declarations(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Check the models of the given apps."""
    configs = app_configs if app_configs is not None else apps.get_app_configs()
    return [message for config in configs for model in config.get_models() for message in check_model(model)]


def check_model(model: type[Model]) -> Iterator[checks.CheckMessage]:
    """Yield what is wrong with one model's declarations."""
    for option, name in _orderings(model):
        number = "E006" if option == "ordering" else "E077"
        message = f"Meta.{option} orders by the encrypted field {name!r}: ciphertext has no order."
        yield _error(model, number, message, f"Let Meta.{option} name other columns, or sort in Python.")
    for name in _encrypted_names(model, getattr(model._meta.pk, "field_names", ())):
        message = (
            f"The primary key has the encrypted field {name!r} as a part: ciphertext identifies nothing."
        )
        yield _error(model, "E071", message, "Make the primary key of other columns.")
    yield from _unique_for_dates(model)
    yield from _generic_keys(model)
    yield from _natural_key(model)
    yield from _moved_by_deletions(model)
    yield from _moved_by_updates(model)
    for kind, item, expression in _conditions(model):
        for path in _encrypted_paths(model, expression):
            message = f"{kind} {item} computes with {path!r}, which is ciphertext to the database."
            hint = f"Take {path!r} out of the {kind}, except for isnull, and validate values in Python."
            yield _error(model, "E074", message, hint)
    for field in model._meta.local_concrete_fields:
        for path in _encrypted_paths(model, getattr(field, "expression", None)):
            message = f"The generated field {field.name!r} computes with {path!r}, which is ciphertext."
            yield _error(
                model, "E076", message, f"Make {field.name!r} a property that computes it in Python."
            )


def _orderings(model: type[Model]) -> Iterator[tuple[str, str]]:
    latest = model._meta.get_latest_by or ()
    for option, given in (
        ("ordering", model._meta.ordering or ()),
        ("get_latest_by", (latest,) if isinstance(latest, str) else latest),
    ):
        for name in _encrypted_names(model, ordering_names(given)):
            yield option, name


def _unique_for_dates(model: type[Model]) -> Iterator[checks.CheckMessage]:
    for field in model._meta.local_fields:
        for period in ("date", "month", "year"):
            option = f"unique_for_{period}"
            other = getattr(field, option, None)
            if not other:
                continue
            searchable = not isinstance(field, VaultField) or (
                isinstance(field, EncryptedField) and field.digests.slots_for("exact")
            )
            if searchable and not [*_encrypted_names(model, [other])]:
                continue
            message = f"{option} of {field.name!r} would look encrypted values up in the database."
            yield _error(model, "E072", message, f"Take {option} away, and compare in the model's clean().")


def _moved_by_deletions(model: type[Model]) -> Iterator[checks.CheckMessage]:
    for field in model._meta.local_concrete_fields:
        for name in getattr(field, "bind_to", ()) if isinstance(field, VaultField) else ():
            try:
                column: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
            except FieldDoesNotExist:
                continue  # E008
            on_delete = getattr(column.remote_field, "on_delete", None)
            action = getattr(on_delete, "name", getattr(on_delete, "__name__", ""))
            if "SET" in action.upper():  # also SET(...), and DB_SET_NULL
                yield checks.Warning(
                    f"{name} is emptied when what it refers to is deleted, and {field.name!r}, which is "
                    "bound to it, cannot be read then.",
                    hint=f"Give {name} on_delete=models.PROTECT or CASCADE, or bind to another column.",
                    obj=field,
                    id="django_workos_vault.W121",
                )


def _moved_by_updates(model: type[Model]) -> Iterator[checks.CheckMessage]:
    manager: Any = model._meta.default_manager
    if manager is None or type(manager).get_queryset is not Manager.get_queryset:
        return  # what its own get_queryset() returns cannot be told
    if isinstance(manager.get_queryset(), EncryptedQuerySet):
        return
    for field in model._meta.local_concrete_fields:
        for name in getattr(field, "bind_to", ()):
            column: Any = next((c for c in model._meta.concrete_fields if name in (c.name, c.attname)), None)
            if column is None or column.primary_key or column.unique or not column.editable:
                continue  # E008, or what nobody updates
            yield checks.Warning(
                f"{field.name!r} is bound to {name}, and {model.__name__}.objects.update({name}=...) moves "
                "rows and leaves it unreadable: that manager knows nothing of encrypted fields.",
                hint=f"Write objects = EncryptedManager() in {model.__name__} as its only manager, from "
                "django_workos_vault.querysets: its update() seals for the new row.",
                obj=field,
                id="django_workos_vault.W160",
            )


def _natural_key(model: type[Model]) -> Iterator[checks.CheckMessage]:
    code = getattr(getattr(model, "natural_key", None), "__code__", None)
    read = [*_encrypted_names(model, getattr(code, "co_names", ()))]
    if read and hasattr(model._meta.default_manager, "get_by_natural_key"):
        yield checks.Warning(
            f"natural_key() reads the encrypted field {read[0]!r}: dumpdata writes natural keys in clear.",
            hint="Return plain columns from natural_key(), such as a UUID that the program makes.",
            obj=model,
            id="django_workos_vault.W120",
        )


def _generic_keys(model: type[Model]) -> Iterator[checks.CheckMessage]:
    for field in model._meta.private_fields:
        names = [getattr(field, attribute, None) for attribute in ("ct_field", "fk_field")]
        if None in names:
            continue
        for name in _encrypted_names(model, [str(name) for name in names]):
            message = f"The generic foreign key {field.name!r} refers by the encrypted field {name!r}."
            yield _error(
                model, "E073", message, f"Make {name!r} a plain field: relations are looked up by it."
            )


def _conditions(model: type[Model]) -> Iterator[tuple[str, str, Any]]:
    for kind, items in (("constraint", model._meta.constraints), ("index", model._meta.indexes)):
        for item in items:
            condition = getattr(item, "condition", None)
            if condition is not None:
                yield kind, item.name, condition


def _encrypted_paths(model: type[Model], expression: Any) -> list[str]:
    return list(dict.fromkeys(_encrypted_names(model, columns_read(expression))))


def _encrypted_names(model: type[Model], names: Any) -> Iterator[str]:
    for name in names:
        path = encrypted_path(QuerySet(model), name)
        if path is not None:
            yield path


def _error(model: type[Model], number: str, message: str, hint: str) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, obj=model, id=f"django_workos_vault.{number}")
