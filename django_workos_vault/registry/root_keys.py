"""The root keys of blind indexes: one for each vault and version, the same for all processes."""

from collections.abc import Callable, Mapping
from hmac import compare_digest

from django.db import IntegrityError, connections, router, transaction

from django_workos_vault.context import KeyContext
from django_workos_vault.keyring.records import RootKeyRecord
from django_workos_vault.models import IndexKeyRecord
from django_workos_vault.registry.faults import NOT_STORABLE, not_storable, telling_of_missing_tables
from django_workos_vault.registry.rows import as_blob, as_told, from_hex
from django_workos_vault.registry.transactions import apart, joins_transaction, on_commit
from django_workos_vault.registry.turns import in_turn


class DatabaseRootKeys:
    """The store of index root keys (``RootKeyStore``) in the table of :class:`IndexKeyRecord`."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def get(self, version: int) -> RootKeyRecord | None:
        return self._of(self._vault, version)

    @telling_of_missing_tables()
    def _of(self, vault: str, version: int) -> RootKeyRecord | None:
        row = IndexKeyRecord.objects.using(self._alias).filter(vault=vault, version=version).first()
        if row is None:
            return None
        return RootKeyRecord(
            vault, from_hex(row.proof), as_told(row.key_id), as_blob(row.wrapped), as_blob(row.carried)
        )

    @telling_of_missing_tables()
    def vaults_with(self, version: int) -> list[str]:
        rows = IndexKeyRecord.objects.using(self._alias).filter(version=version)
        return [str(vault) for vault in rows.order_by("vault").values_list("vault", flat=True)]

    @telling_of_missing_tables()
    def add(
        self, version: int, context: KeyContext, record: RootKeyRecord, proofs: Mapping[str, bytes]
    ) -> RootKeyRecord:
        def unless_there() -> RootKeyRecord:
            there = self.get(version) or self._other(version, proofs)
            return there or self._add(version, context, record)

        def add() -> RootKeyRecord:
            if not proofs:
                return self._add(version, context, record)
            return in_turn(self._alias, version, unless_there)

        # Or everybody else who needs the first key would wait for the end of the caller's transaction.
        return apart(self._alias, add)

    def _other(self, version: int, proofs: Mapping[str, bytes]) -> RootKeyRecord | None:
        """Return what keeps a root key with ``proofs`` out: another one, of a vault that is read too."""
        found = [record for vault in proofs if (record := self._of(vault, version))]
        is_theirs = any(compare_digest(record.proof, proofs[record.vault]) for record in found)
        return None if is_theirs or not found else found[0]

    def _add(self, version: int, context: KeyContext, record: RootKeyRecord) -> RootKeyRecord:
        try:
            with transaction.atomic(using=self._alias):  # a lost race must not spoil the caller's transaction
                IndexKeyRecord.objects.using(self._alias).create(
                    vault=self._vault,
                    version=version,
                    key_context=context.items,
                    proof=record.proof.hex(),
                    key_id=record.key_id,
                    wrapped=record.wrapped,
                    carried=record.carried or None,
                )
        except IntegrityError as exc:
            winner = self.get(version)
            if winner is None:
                raise not_storable(exc) from exc
            return winner
        except NOT_STORABLE as exc:
            raise not_storable(exc) from exc
        return record

    def when_committed(self, then: Callable[[], None]) -> None:
        if joins_transaction(self._alias):
            on_commit(self._alias, then)
        else:
            then()  # it was written apart, or in autocommit mode

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        # Django drops a callback when its transaction, or its savepoint, is rolled back.
        return any(then == callback for _, callback, *_ in connections[self._alias].run_on_commit)

    @property
    def _alias(self) -> str:
        return router.db_for_write(IndexKeyRecord)
