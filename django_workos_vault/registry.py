"""The database side of the key ring: who wraps what, which key is current, how many messages are left."""

from collections.abc import Callable

from django.db import IntegrityError, connections, models, router, transaction

from django_workos_vault.context import KeyContext
from django_workos_vault.index_keys import RootKeyRecord
from django_workos_vault.keyring import KeyRecord
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord


class DatabaseRegistry:
    """:class:`~django_workos_vault.keyring.Registry` in the table of :class:`DataKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def current(self, context: KeyContext) -> KeyRecord | None:
        newest = self._rows(context).order_by("-generation").first()
        return key_record(newest) if newest else None

    def find(self, commitment: bytes) -> KeyRecord | None:
        row = DataKeyRecord.objects.filter(vault=self._vault, commitment=commitment.hex()).first()
        return key_record(row) if row else None

    def add(self, context: KeyContext, record: KeyRecord, after: KeyRecord | None) -> KeyRecord:
        generation = 1
        if after is not None:
            predecessor = DataKeyRecord.objects.filter(commitment=after.commitment.hex()).first()
            generation = predecessor.generation + 1 if predecessor else 1
        try:
            self._insert(context, record, generation)
        except IntegrityError:
            winner = self.current(context)
            if winner is None:
                raise
            return winner
        return record

    def lease(self, record: KeyRecord, messages: int, limit: int) -> bool:
        affordable = DataKeyRecord.objects.filter(
            commitment=record.commitment.hex(), messages__lte=limit - messages
        )
        return bool(affordable.update(messages=models.F("messages") + messages))

    def ensure(self, context: KeyContext, record: KeyRecord) -> bool:
        if not DataKeyRecord.objects.filter(commitment=record.commitment.hex()).exists():
            newest = self._rows(context).order_by("-generation").first()
            try:
                self._insert(context, record, newest.generation + 1 if newest else 1)
            except IntegrityError:
                return False
        return not connections[self._alias].in_atomic_block

    @property
    def _alias(self) -> str:
        return router.db_for_write(DataKeyRecord)

    def _rows(self, context: KeyContext) -> models.QuerySet[DataKeyRecord]:
        return DataKeyRecord.objects.filter(vault=self._vault, context_digest=context.digest)

    def _insert(self, context: KeyContext, record: KeyRecord, generation: int) -> None:
        with transaction.atomic(using=self._alias):  # a lost race must not spoil the caller's transaction
            DataKeyRecord.objects.using(self._alias).create(
                vault=self._vault,
                context_digest=context.digest,
                generation=generation,
                key_context=context.items,
                commitment=record.commitment.hex(),
                proof=record.proof.hex(),
                key_id=record.key_id,
                wrapped=record.wrapped,
                created_at=record.created_at,
            )


def key_record(row: DataKeyRecord) -> KeyRecord:
    """Return what the key ring wants to know of ``row``. Raises ValueError when it is not hexadecimal."""
    return KeyRecord(
        commitment=bytes.fromhex(row.commitment),
        proof=bytes.fromhex(row.proof),
        key_id=row.key_id,
        wrapped=bytes(row.wrapped),
        created_at=row.created_at,
    )


class DatabaseRootKeys:
    """:class:`~django_workos_vault.index_keys.RootKeyStore` in the table of :class:`IndexKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def get(self, version: int) -> RootKeyRecord | None:
        row = IndexKeyRecord.objects.using(self._alias).filter(vault=self._vault, version=version).first()
        return RootKeyRecord(bytes.fromhex(row.proof), row.key_id, bytes(row.wrapped)) if row else None

    def add(self, version: int, context: KeyContext, record: RootKeyRecord) -> RootKeyRecord:
        try:
            with transaction.atomic(using=self._alias):  # a lost race must not spoil the caller's transaction
                IndexKeyRecord.objects.using(self._alias).create(
                    vault=self._vault,
                    version=version,
                    key_context=context.items,
                    proof=record.proof.hex(),
                    key_id=record.key_id,
                    wrapped=record.wrapped,
                )
        except IntegrityError:
            winner = self.get(version)
            if winner is None:
                raise
            return winner
        return record

    def when_committed(self, then: Callable[[], None]) -> None:
        transaction.on_commit(then, using=self._alias)

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        # Django drops a callback when its transaction, or its savepoint, is rolled back.
        return any(then == callback for _, callback, *_ in connections[self._alias].run_on_commit)

    @property
    def _alias(self) -> str:
        return router.db_for_write(IndexKeyRecord)
