"""What tests look up of a row and of the objects in Vault."""

from typing import Any

from django.db import connection, models

from django_workos_vault import vaults


def column(row: models.Model, name: str = "token") -> Any:
    table = row._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {name} FROM {table} WHERE id = %s", [row.pk])
        return cursor.fetchone()[0]


def names() -> list[str]:
    return [summary.name for summary in vaults["default"].backend.iter_objects()]


def requests_made() -> int:
    return vaults["default"].backend.requests_made


def loaded(row: Any) -> Any:
    return type(row).objects.get(pk=row.pk)
