"""What other packages are told about encrypted fields, by the means they offer, when they are installed."""

from contextlib import suppress
from importlib import import_module
from typing import Any

from django.apps import apps

from django_workos_vault.fields.django_internals.frames import let_move_values
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField


def introduce() -> None:
    """Tell those packages that are there. Called whenever the apps are loaded, as tests do more than once."""
    with suppress(ImportError):
        introduce_to_ninja(import_module("ninja.orm.fields"))
    if apps.is_installed("django_tables2"):
        introduce_to_tables(import_module("django_tables2.columns.base").library)
    if apps.is_installed("simple_history"):
        # It copies a row's values into a row of the history: cells, unless that has labels of its own.
        let_move_values(import_module("simple_history.models").HistoricalRecords.create_historical_record)


def introduce_to_ninja(fields: Any) -> None:
    """Make django-ninja's schemas type an encrypted field as the plain one."""
    plain_types = {name: made for name, made in fields.TYPES.items() if not name.endswith("Encrypted")}
    for plain_type, python_type in plain_types.items():
        fields.TYPES.setdefault(EncryptedField.internal_type_of(plain_type), python_type)


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
