"""What other packages are told about encrypted fields, by the means they offer, when they are used."""

from functools import wraps
from importlib import import_module
from typing import Any

from django.apps import apps

from django_workos_vault.after_import import after_import
from django_workos_vault.fields import twins
from django_workos_vault.fields.django_internals.frames import let_move_values
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField

_OURS = (VaultField, EncryptedFileField)


def introduce() -> None:
    """Tell those packages that are used. Called whenever the apps are loaded, as tests do more than once.

    What is no app is told when it is imported: a process that has no use for it need not load it.
    """
    after_import("ninja.orm.fields", introduce_to_ninja)
    after_import("model_bakery.generators", lambda module: introduce_by_class(module.default_mapping))
    after_import("rest_framework.serializers", lambda m: introduce_to_rest_framework(m.ModelSerializer))
    if apps.is_installed("strawberry_django"):
        types = import_module("strawberry_django.fields.types")
        introduce_by_class(types.field_type_map)
        introduce_by_class(types.input_field_type_map)
    if apps.is_installed("django_tables2"):
        introduce_to_tables(import_module("django_tables2.columns.base").library)
    if apps.is_installed("simple_history"):
        # It copies a row's values into a row of the history: cells, unless that has labels of its own.
        let_move_values(import_module("simple_history.models").HistoricalRecords.create_historical_record)


def introduce_by_class(known: dict[Any, Any]) -> None:
    """Have ``known``, by field class, hold for each class of ours what it holds for the plain one."""
    declared = {type(field) for model in apps.get_models() for field in model._meta.concrete_fields}
    for field_class in (*declared, *vars(twins).values()):
        if isinstance(field_class, type) and issubclass(field_class, _OURS):
            plain = next(base for base in field_class.__mro__ if not issubclass(base, _OURS))
            if plain in known:
                known.setdefault(field_class, known[plain])


def introduce_to_ninja(fields: Any) -> None:
    """Make django-ninja's schemas type an encrypted field as the plain one."""
    plain_types = {name: made for name, made in fields.TYPES.items() if not name.endswith("Encrypted")}
    for plain_type, python_type in plain_types.items():
        fields.TYPES.setdefault(EncryptedField.internal_type_of(plain_type), python_type)


def introduce_to_rest_framework(serializer_class: Any) -> None:
    """Make ModelSerializers validate constraints over blind indexes, which it knows not, as they do others.

    A serializer that has ``Meta.validators`` has those alone, as with constraints over plain fields.
    """
    from django_workos_vault.drf_rows import RowValidator, looks_after

    of_plain_fields = serializer_class.get_unique_together_validators
    if hasattr(of_plain_fields, "validates_rows"):
        return

    @wraps(of_plain_fields)
    def of_every_field(self: Any) -> list[Any]:
        more = [RowValidator()] if looks_after(self.Meta.model) else []
        return [*of_plain_fields(self), *more]

    of_every_field.validates_rows = True  # type: ignore[attr-defined]
    serializer_class.get_unique_together_validators = of_every_field


def introduce_to_tables(library: Any) -> None:
    """Make django-tables2 show an encrypted field of a table's model as the plain one, without ordering."""
    if any(hasattr(column, "leaves_ordering_out") for column in library.columns):
        return

    class EncryptedColumn:
        leaves_ordering_out = True

        @classmethod
        def from_field(cls, field: Any, **kwargs: Any) -> Any:
            if not isinstance(field, VaultField):
                return None
            others = (column for column in reversed(library.columns) if column is not cls)
            made = (column.from_field(field, **kwargs) for column in others)
            column = next(column for column in made if column is not None)
            column.orderable = False
            return column

    library.register(EncryptedColumn)
