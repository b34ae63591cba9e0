"""Seal each value again under a data key that is younger than the run."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError, InvalidVaultConfiguration, VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.bare_rows import BareRow, key_contexts
from django_workos_vault.maintenance.cells import CannotOpen, CellReader, concerns_all, faults_of_row, is_null
from django_workos_vault.maintenance.operations.base import context_of, holds_the_same_value
from django_workos_vault.vault import Vault

#: What keeps a run from one key alone; an outage, or a fault of the code, does not.
_OF_ONE_KEY = (VaultError, EnvelopeError, InvalidVaultConfiguration)


class Resealing:
    """One new data key for each vault and key context, however many processes work and however often resumed.

    A key that was made after ``since``, an aware time, is new enough, whoever made it.
    """

    def __init__(self, since: datetime | None = None) -> None:
        self.keys_made = 0
        self._since = since or datetime.now(UTC)
        self._reader = CellReader()
        self._renewed: dict[tuple[str, str], CannotOpen | None] = {}

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        for field in fields:
            self._renew(field.vault, field.scheme.contexts_of(row for row in rows if not is_null(field, row)))

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        value = self._reader.open(field, instance)
        context_of(field, instance)
        with faults_of_row():
            field.digests.front(value, instance)
        return True

    def at_once(
        self, field: EncryptedField, rows: Sequence[BareRow], cells: Sequence[bytes]
    ) -> list[bytes | None]:
        contexts = key_contexts(field, rows)
        known = [context for context in {id(each): each for each in contexts}.values() if context]
        self._renew(field.vault, known)
        if field.digests.are_carried or self._reader.knows_refusals:
            return [None] * len(cells)
        refused = {id(each) for each in known if self._renewed[field.vault_alias, each.digest]}
        if refused:
            contexts = [None if id(context) in refused else context for context in contexts]
        return field.resealed_at_once(cells, contexts)

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        context = context_of(field, instance)
        name = (field.vault_alias, context.digest)
        if name not in self._renewed:
            self._renew(field.vault, [context])
        refusal = self._renewed[name]
        if refusal is None and not (field.scheme.is_bound or self._reader.knows_refusals):
            held = instance.__dict__[field.attname]
            try:
                return field.resealed(held.cell, instance, held.neighbours)
            except _OF_ONE_KEY as exc:
                if concerns_all(exc):
                    raise
        # A cell that something is wrong with: what, is found out step by step.
        value = self._reader.open(field, instance)
        if refusal is not None:
            raise refusal
        with faults_of_row():
            return field.seal_value(value, instance)

    def make_key(self, vault: Vault, context: KeyContext) -> None:
        """Have ``vault`` seal under ``context`` with a key of this run. Raises CannotOpen."""
        self._renew(vault, [context])
        refusal = self._renewed[vault.alias, context.digest]
        if refusal is not None:
            raise refusal

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        holds_the_same_value(field, old, new)

    def _renew(self, vault: Vault, contexts: Iterable[KeyContext]) -> None:
        missing = {c.digest: c for c in contexts if (vault.alias, c.digest) not in self._renewed}
        if not missing:
            return
        made = vault.keyring.counters.created
        outcomes = vault.keyring.renew(missing.values(), self._since)
        self.keys_made += vault.keyring.counters.created - made
        for digest, fault in outcomes.items():
            if fault is not None and (concerns_all(fault) or not isinstance(fault, _OF_ONE_KEY)):
                raise fault
            refusal = None if fault is None else CannotOpen(type(fault).__name__, str(fault))
            self._renewed[vault.alias, digest] = refusal
