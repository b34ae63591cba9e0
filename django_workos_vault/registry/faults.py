"""What a database says that cannot keep a key, and what we say then."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, DataError

from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, VaultRequestError, WrongKey

#: What a database, or its driver, says of a value that no column of it can hold.
NOT_STORABLE = (DataError, ValueError, OverflowError, TypeError)


@contextmanager
def telling_of_missing_tables() -> Iterator[None]:
    """Say what to do where migrate has not made the tables yet: a migration may write cells before that."""
    try:
        yield
    except DatabaseError as exc:
        # SQLite; PostgreSQL and its psycopg; MySQL and MariaDB
        missing = str(exc).startswith("no such table") or exc.args[:1] == (1146,)
        if not missing and getattr(exc.__cause__, "sqlstate", "") != "42P01":
            raise
        raise InvalidVaultConfiguration(
            "The tables of django_workos_vault are not there. Run migrate; where the registry is on another "
            "database than the rows, run it with --database for that one, too."
        ) from exc


def not_storable(exc: Exception) -> VaultRequestError:
    return VaultRequestError(
        f"The registry's table cannot keep this data key or its key context ({type(exc).__name__})."
    )


def caused(error: VaultError | WrongKey, cause: Exception) -> VaultError | WrongKey:
    error.__cause__ = cause
    return error
