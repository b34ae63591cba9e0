"""Rows to seal again, their cells, and runs of ``vault_reencrypt``."""

import threading
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from django_workos_vault import envelope
from tests.app.models import Person


def cell_of(row: Any, column: str = "ssn") -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {row._meta.db_table} WHERE id = %s", [row.pk])
        return bytes(cursor.fetchone()[0])


def store(row: Any, cell: bytes, column: str = "ssn") -> None:
    with connection.cursor() as cursor:
        binary = connection.Database.Binary(cell)
        cursor.execute(f"UPDATE {row._meta.db_table} SET {column} = %s WHERE id = %s", [binary, row.pk])


def key_of(row: Any, column: str = "ssn") -> bytes:
    return envelope.parse(cell_of(row, column)).commitment


def people(count: int) -> list[Person]:
    return [Person.objects.create(ssn=f"123-45-{n:04}") for n in range(count)]


def reencrypt(*targets: str, **options: Any) -> str:
    out = StringIO()
    call_command("vault_reencrypt", *targets, stdout=out, **options)
    return out.getvalue()


def failing(*targets: str, **options: Any) -> tuple[CommandError, str]:
    out = StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("vault_reencrypt", *targets, stdout=out, **options)
    return caught.value, out.getvalue()


def at_once(*jobs: Callable[[], object]) -> None:
    """Run ``jobs`` in threads of their own; raise the first one's exception."""
    failures: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as exc:
            failures.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
