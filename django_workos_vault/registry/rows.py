"""What the registry's rows hold, which anybody may have written: nonsense in one must not fail the others."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import DatabaseError, models
from django.utils import timezone

from django_workos_vault import conf
from django_workos_vault.datakey import MAX_KEY_ID_LENGTH
from django_workos_vault.keyring.records import KeyRecord
from django_workos_vault.models import DataKeyRecord

#: Values in one query's IN list: SQLite allows 999 parameters.
_AT_ONCE = 500

#: stands for a time that cannot be read: of no key that is sound
_NEVER = datetime.max.replace(tzinfo=UTC)


def portions(values: list[str]) -> Iterable[list[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def as_stored(moment: datetime) -> datetime:
    """Return an aware ``moment`` as Django's columns take it: without ``USE_TZ`` they hold local times."""
    return moment if conf.uses_time_zones() else timezone.make_naive(moment, timezone.get_default_timezone())


def as_moment(stored: object) -> datetime:
    if not isinstance(stored, datetime):
        return _NEVER
    local = timezone.is_naive(stored)
    return timezone.make_aware(stored, timezone.get_default_timezone()) if local else stored


def key_record(row: DataKeyRecord) -> KeyRecord:
    """Return what the key ring wants to know of ``row``, which anybody may have written.

    What is not even of its column's type is left out, so that the record is not sound.
    """
    return KeyRecord(
        commitment=from_hex(row.commitment),
        proof=from_hex(row.proof),
        key_id=as_told(row.key_id),
        wrapped=as_blob(row.wrapped),
        created_at=as_moment(row.created_at),
        generation=as_count(row.generation, -1),
        messages=as_count(row.messages, -1),
    )


def readable_rows(rows: models.QuerySet[DataKeyRecord]) -> list[DataKeyRecord]:
    """Return ``rows``, those whose columns Django cannot read with a zero generation and nothing else.

    SQLite keeps anything in any column, and one row of nonsense would fail the query for all.
    """
    try:
        return list(rows)
    except DatabaseError:
        raise
    except Exception:
        found = []
        for pk, digest in list(rows.values_list("pk", "context_digest")):
            try:
                found.append(rows.get(pk=pk))
            except DatabaseError:
                raise
            except Exception:
                found.append(_unreadable(pk, digest))
        return found


def _unreadable(pk: int, digest: str) -> DataKeyRecord:
    return DataKeyRecord(
        pk=pk, context_digest=digest, key_id="?", key_context=None, generation=0, created_at=datetime.now(UTC)
    )


def as_told(text: object) -> str:
    """Return an id from the database as one line of at most 200 characters."""
    return "".join(each if each.isprintable() else "?" for each in str(text)[:MAX_KEY_ID_LENGTH])


def from_hex(text: object) -> bytes:
    try:
        return bytes.fromhex(str(text))
    except ValueError:
        return b""


def as_blob(stored: object) -> bytes:
    # bytes() of a number is that many zeros.
    return bytes(stored) if isinstance(stored, bytes | bytearray | memoryview) else b""


def as_count(stored: object, otherwise: int) -> int:
    return stored if isinstance(stored, int) else otherwise
