"""The wrapped keys that the database keeps of one key context: found, and destroyed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, router, transaction

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.registry.collisions import tried_again
from django_workos_vault.registry.rows import as_told, portions, readable_rows

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class FiledKey:
    """A data key on record: the alias of its vault, Vault's id of it, its commitment in hexadecimal."""

    vault: str
    key_id: str
    commitment: str


@dataclass(frozen=True, slots=True)
class FiledRoot:
    """A root key of blind indexes on record."""

    vault: str
    version: int
    key_id: str


def keys_of(context: KeyContext) -> list[DataKeyRecord]:
    """Return the records filed under ``context`` in the name of any vault."""
    alias = router.db_for_write(DataKeyRecord)
    rows = DataKeyRecord.objects.using(alias).filter(context_digest=context.digest)
    return readable_rows(rows.order_by("vault", "generation"))


def is_of(row: DataKeyRecord | IndexKeyRecord, context: KeyContext) -> bool:
    """Whether what a record says of its key context in clear is ``context`` too.

    Whoever writes the table could file another customer's key under this one's digest.
    """
    return context_of(row) == context


def context_of(row: DataKeyRecord | IndexKeyRecord) -> KeyContext | None:
    """Return the key context of a record, None where it holds none."""
    try:
        return KeyContext(row.key_context)
    except InvalidVaultConfiguration:
        return None


def filed(row: DataKeyRecord) -> FiledKey:
    return FiledKey(str(row.vault), as_told(row.key_id), str(row.commitment))


def roots_of(context: KeyContext) -> list[FiledRoot]:
    """Return the root keys that are wrapped under ``context``, of any vault."""
    rows = IndexKeyRecord.objects.using(router.db_for_write(IndexKeyRecord)).order_by("vault", "version")
    return [FiledRoot(str(r.vault), r.version, as_told(r.key_id)) for r in rows if is_of(r, context)]


def other_contexts() -> Iterator[tuple[str, KeyContext]]:
    """Yield vault and key context of every data key on record, the same ones several times."""
    rows = DataKeyRecord.objects.using(router.db_for_write(DataKeyRecord)).order_by("pk")
    last = 0
    while pks := list(rows.filter(pk__gt=last).values_list("pk", flat=True)[:_AT_A_TIME]):
        for row in readable_rows(rows.filter(pk__in=pks)):
            context = context_of(row)
            if context is not None:
                yield str(row.vault), context
        last = pks[-1]


def contexts_by_commitment(commitments: Collection[str]) -> dict[str, str]:
    """Return the digest of the key context that each of ``commitments`` is filed under, if it is."""
    rows = DataKeyRecord.objects.using(router.db_for_write(DataKeyRecord))
    return {
        str(commitment): str(digest)
        for some in portions(list(commitments))
        for commitment, digest in rows.filter(commitment__in=some).values_list("commitment", "context_digest")
    }


def destroy_keys(context: KeyContext, vaults: Collection[str]) -> list[FiledKey]:
    """Delete the records of ``context`` of ``vaults``, all or none of them; return what they were of.

    A record that names another key context in clear than it is filed under is left alone.
    """
    alias = router.db_for_write(DataKeyRecord)
    return tried_again(alias, lambda: _destroyed(alias, context, vaults))


def _destroyed(alias: str, context: KeyContext, vaults: Collection[str]) -> list[FiledKey]:
    with transaction.atomic(using=alias):
        rows: models.QuerySet[Any] = DataKeyRecord.objects.using(alias).select_for_update()
        found = readable_rows(rows.filter(context_digest=context.digest, vault__in=vaults))
        # MariaDB compares texts whatever their case.
        mine = [row for row in found if row.vault in vaults and is_of(row, context)]
        for some in portions([row.commitment for row in mine]):
            DataKeyRecord.objects.using(alias).filter(commitment__in=some).delete()
    return [filed(row) for row in mine]


def destroy_roots(roots: Collection[FiledRoot]) -> list[FiledRoot]:
    """Delete the records of root keys; return those that nobody else had deleted, or replaced."""
    alias = router.db_for_write(IndexKeyRecord)
    rows = IndexKeyRecord.objects.using(alias)
    with transaction.atomic(using=alias):
        return [
            root
            for root in roots
            for row in rows.filter(vault=root.vault, version=root.version)
            if FiledRoot(row.vault, row.version, as_told(row.key_id)) == root
            and rows.filter(pk=row.pk).delete()[0]
        ]
