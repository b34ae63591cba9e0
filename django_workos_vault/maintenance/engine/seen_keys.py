"""Which data keys and key contexts a plan has met, what is on record of them, and what Vault is asked."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.db import router

from django_workos_vault import envelope
from django_workos_vault.context import KeyContext
from django_workos_vault.envelope import Envelope
from django_workos_vault.maintenance.engine.plan import ColumnPlan
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.rows import as_moment

_AT_A_TIME = 500


class SeenKeys:
    """What was met so far, of cells or of files. ``field`` is that of either."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, bytes, bytes]] = set()
        self._foreign: set[tuple[bytes, bytes]] = set()
        self._contexts: set[tuple[str, str]] = set()
        self._pairs: set[tuple[Any, ...]] = set()
        self._filed: dict[str, DataKeyRecord | None] = {}

    @property
    def keys(self) -> int:
        """How many distinct data keys."""
        return len(self._keys)

    @property
    def contexts(self) -> int:
        """How many key contexts that would be sealed under."""
        return len(self._contexts)

    def read_records(self, commitments: Iterable[bytes]) -> None:
        """Look keys up in the registry that were not looked up before."""
        missing = sorted({commitment.hex() for commitment in commitments} - self._filed.keys())
        for start in range(0, len(missing), _AT_A_TIME):
            some = missing[start : start + _AT_A_TIME]
            rows = DataKeyRecord.objects.using(router.db_for_write(DataKeyRecord))
            records = rows.filter(commitment__in=some).defer("wrapped", "key_context")
            self._filed |= dict.fromkeys(some) | {record.commitment: record for record in records}

    def note(self, plan: ColumnPlan, field: Any, sealed: Envelope, context: KeyContext | None) -> None:
        """Count what ``sealed`` says, whose key was looked up, for a row that gives ``context``."""
        self._keys.add((field.vault_alias, sealed.commitment, sealed.key_reference))
        record = self._filed.get(sealed.commitment.hex())
        also_reads = field.vault.also_reads
        if record and record.vault in also_reads:
            self._foreign.add((sealed.commitment, sealed.key_reference))
        own = context is not None and record is not None and record.context_digest == context.digest
        plan.count(
            vault=str(record.vault) if record else "not on record" if also_reads else field.vault_alias,
            version=str(sealed.version),
            envelope="inline" if sealed.key_reference else "reference",
            label="its own" if sealed.label_id == envelope.label_id(field.label) else "another",
            key=_age(record, field),
            context="its own" if own else "unknown" if record is None else "another",
        )
        if context is not None:
            self._contexts.add((field.vault_alias, context.digest))
            self._pairs.add((field.vault_alias, sealed.commitment, sealed.key_reference, context.digest))

    def requests(self, operation: str, *, opened: bool) -> int:
        """Return how often Vault is asked, where what is renewed is ``opened`` for it."""
        asked = len(self._pairs) if operation == "rekey" else 0
        asked += self.contexts if operation in ("reseal", "move") else 0
        # A foreign key is refused by the field's vault first.
        return asked + (self.keys + len(self._foreign) if opened else 0)


def _age(record: DataKeyRecord | None, field: Any) -> str:
    if record is None:
        return "not on record"
    days = (datetime.now(UTC) - as_moment(record.created_at)).days
    limit = field.vault.policy.rotate_after.days
    return f"made within {limit} days" if days < limit else f"older than {limit} days"
