"""Async code that a script calls, and the connections that it leaves behind."""

import asyncio

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import connection, connections

from tests.app.models import Person

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="others do not list their connections"),
]


def connections_of_the_database() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


async def names() -> list[str]:
    await Person.objects.acreate(name="Ada", ssn="123-45-6789")
    return [person.name async for person in Person.objects.all()]


def test_async_to_sync_uses_the_callers_connection() -> None:
    """As docs/async.md says."""
    before = connections_of_the_database()
    assert async_to_sync(names)() == ["Ada"]
    assert connections_of_the_database() == before


def test_asyncio_run_leaves_one_open() -> None:
    """It runs Django's calls in a thread that stays, with a connection of its own."""
    close_that_of_the_thread()  # or another test has left it
    before = connections_of_the_database()
    asyncio.run(names())
    assert connections_of_the_database() == before + 1
    close_that_of_the_thread()


def close_that_of_the_thread() -> None:
    asyncio.run(sync_to_async(connections.close_all)())
