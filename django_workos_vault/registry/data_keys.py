"""Which data key of each context is current, and how many messages it has left.

Everything is read and written on the primary database, never on a replica that may lag behind.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from django.db import IntegrityError, models, router, transaction
from django.db.models import F, OuterRef, Subquery

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import VaultError, VaultUnavailable, WrongKey
from django_workos_vault.keyring.records import Addition, KeyRecord, Lease
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.collisions import tried_again
from django_workos_vault.registry.faults import NOT_STORABLE, caused, not_storable, telling_of_missing_tables
from django_workos_vault.registry.rows import (
    as_blob,
    as_count,
    as_stored,
    from_hex,
    key_record,
    portions,
    readable_rows,
)
from django_workos_vault.registry.transactions import apart, joins_transaction, receipt

#: How often a record goes behind the newest one where another process is faster each time.
_TRIES = 8


class DatabaseRegistry:
    """:class:`~django_workos_vault.keyring.records.Registry` in the table of :class:`DataKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    @telling_of_missing_tables()
    def current(self, contexts: Iterable[KeyContext]) -> dict[str, KeyRecord]:
        newest = self._rows().filter(context_digest=OuterRef("context_digest")).order_by("-generation")
        rows = self._rows().filter(generation=Subquery(newest.values("generation")[:1]))
        return {
            row.context_digest: key_record(row)
            for some in portions([context.digest for context in contexts])
            for row in readable_rows(rows.filter(context_digest__in=some))
        }

    def add(self, additions: Sequence[Addition]) -> list[Lease | KeyRecord | VaultError | WrongKey]:
        # MariaDB calls it a deadlock where the records before this one are deleted at that moment.
        return apart(
            self._alias,
            lambda: [tried_again(self._alias, partial(self._add, addition)) for addition in additions],
        )

    def lease(self, wanted: Sequence[tuple[KeyRecord, int]], limit: int) -> list[Lease | None]:
        if not wanted:
            return []
        return apart(
            self._alias, lambda: [self._lease(record, messages, limit) for record, messages in wanted]
        )

    def restore(self, context: KeyContext, record: KeyRecord, messages: int, *, with_record: bool) -> Lease:
        if not with_record:
            if not self._give(record, messages):  # or a key that vault_forget destroyed would be there again
                raise WrongKey("The registry's record of this data key is gone: the key was destroyed.")
            return Lease(messages, receipt(self._alias))
        # A record that is there was written by another thread: a rollback of this one does not undo it.
        is_there = self._give(record, messages) or not self._inserted_anew(context, record, messages)
        return Lease(messages, receipt(self._alias), with_record=not is_there)

    def find(self, commitments: Iterable[bytes]) -> dict[bytes, bytes]:
        return {
            from_hex(commitment): blob
            for some in portions([commitment.hex() for commitment in commitments])
            for commitment, wrapped in self._rows()
            .filter(commitment__in=some)
            .values_list("commitment", "wrapped")
            if (blob := as_blob(wrapped))
        }

    @property
    def _alias(self) -> str:
        return router.db_for_write(DataKeyRecord)

    def _rows(self) -> models.QuerySet[DataKeyRecord]:
        return DataKeyRecord.objects.using(self._alias).filter(vault=self._vault)

    def _row(self, commitment: bytes) -> models.QuerySet[DataKeyRecord]:
        return self._rows().filter(commitment=commitment.hex())

    def _add(self, addition: Addition, again: int = 2) -> Lease | KeyRecord | VaultError | WrongKey:
        try:
            self._insert(addition.context, addition.record, addition.messages, addition.record.generation)
        except IntegrityError as exc:
            winner = self.current([addition.context]).get(addition.context.digest)
            if winner is not None and winner.generation >= addition.record.generation:
                return winner
            if again:  # what was in the way may have been destroyed since
                return self._add(addition, again - 1)
            return caused(self._refusal(addition.record), exc)
        except NOT_STORABLE as exc:
            return caused(not_storable(exc), exc)
        return Lease(addition.messages, receipt(self._alias), with_record=True)

    def _lease(self, record: KeyRecord, messages: int, limit: int) -> Lease | None:
        row = self._row(record.commitment)
        while 0 <= (taken := as_count(row.values_list("messages", flat=True).first(), limit)) < limit:
            granted = min(messages, limit - taken)
            if row.filter(messages=taken).update(messages=taken + granted):
                return Lease(granted, receipt(self._alias))
        return None

    def _insert(self, context: KeyContext, record: KeyRecord, messages: int, generation: int) -> None:
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
                created_at=as_stored(record.created_at),
                messages=messages,
            )

    def _give(self, record: KeyRecord, messages: int) -> bool:
        """Count more messages of a key; False where it is not on record."""
        return bool(self._row(record.commitment).update(messages=F("messages") + messages))

    def _inserted_anew(self, context: KeyContext, record: KeyRecord, messages: int) -> bool:
        """Whether the record was inserted, behind those that others inserted meanwhile; or else was there."""
        generation = record.generation
        for left in reversed(range(_TRIES)):
            try:
                self._insert(context, record, messages, generation)
            except IntegrityError as exc:
                if self._give(record, messages):
                    return False
                if not left:
                    raise self._refusal(record) from exc
                generation = self.current([context]).get(context.digest, record).generation + 1
            except NOT_STORABLE as exc:
                raise not_storable(exc) from exc
            else:
                break
        return True

    def _refusal(self, record: KeyRecord) -> VaultUnavailable | WrongKey:
        """Return why the table's constraints refuse ``record``."""
        if DataKeyRecord.objects.using(self._alias).filter(commitment=record.commitment.hex()).exists():
            return VaultUnavailable(
                "The answer is not Vault's: the data key in it was handed out before, and is registered."
            )
        return WrongKey(
            f"The registry's newest data key of a context of vault {self._vault!r} was changed, and none can "
            "follow it. vault_check names the record and says what to do."
        )

    def joins_transaction(self) -> bool:
        return joins_transaction(self._alias)
