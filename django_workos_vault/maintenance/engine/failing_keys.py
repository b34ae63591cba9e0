"""One customer's key that Vault fails with (5xx) is no outage: its cells are left, and the run goes on."""

import time
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from functools import partial
from random import shuffle
from typing import Any

from django.db import router
from django.db.models import Model

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultError,
    VaultUnavailable,
    is_outage,
)
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.bare_rows import as_instances
from django_workos_vault.maintenance.cells import REMEMBERED, CannotOpen
from django_workos_vault.maintenance.engine.columns import Batch, Columns
from django_workos_vault.models import DataKeyRecord
from django_workos_vault.registry.rows import key_record
from django_workos_vault.vault import Vault

#: Seconds after which a batch ends early whose cells go one by one: each failing key takes a deadline.
_PATIENCE = 20.0
#: Of the newest data keys on record, those of so many contexts are asked for before there is an outage.
_NEWEST, _OTHERS = 200, 3

#: what of Vault a cell needs: vault, commitment and wrapped key, context of the new cell
_Need = tuple[str, bytes, bytes, str]


class FailingKeys:
    """Prepares batches for ``columns``, and remembers keys that Vault failed with while it gave others.

    ``fields`` are those of all the columns.
    """

    def __init__(self, fields: Sequence[EncryptedField]) -> None:
        self._aliases = sorted({a for field in fields for a in (field.vault_alias, *field.vault.also_reads)})
        self._known: dict[_Need, CannotOpen] = {}

    def prepared(
        self,
        columns: Columns,
        rows: Sequence[Model],
        *,
        dry_run: bool = False,
        stop: Callable[[], bool] = lambda: False,
    ) -> Batch:
        """Return a prepared batch of ``rows``; of the first of them where keys fail one after another.

        Raises VaultError in an outage: Vault gives no other key either.
        """
        if self._known:
            as_instances(rows)
        needy = {n for n, row in enumerate(rows) if self._is_known(columns, row)} if self._known else set()
        try:
            batch = columns.prepared([row for n, row in enumerate(rows) if n not in needy], dry_run=dry_run)
        except VaultUnavailable as exc:
            as_instances(rows)
            if is_outage(exc) and not self._gives_others(_contexts(columns, rows)):
                raise
            return self._one_by_one(columns, rows, dry_run, stop)
        for n in sorted(needy):
            self._prepare_row(columns, batch, rows[n], dry_run)
        batch.rows = rows
        return batch

    def try_cell(self, columns: Columns, field: EncryptedField, row: Model, work: Callable[[], Any]) -> Any:
        """Return what ``work`` returns, which asks Vault for one cell.

        Raises CannotOpen where Vault fails with its key alone, another VaultError in an outage.
        """
        need = _need(columns, field, row)
        if need in self._known:
            raise self._known[need]
        try:
            try:
                return work()
            except VaultUnavailable as exc:
                if exc.was_asked:
                    raise
                for alias in self._aliases:
                    vaults[alias].keyring.outcomes.forget_refusals()
                return work()
        except VaultUnavailable as exc:
            if not exc.was_asked or (is_outage(exc) and not self._gives_others(_contexts(columns, [row]))):
                raise
            refusal = CannotOpen(type(exc).__name__, str(exc))
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[need] = refusal
        raise refusal

    def _one_by_one(
        self, columns: Columns, rows: Sequence[Model], dry_run: bool, stop: Callable[[], bool]
    ) -> Batch:
        batch = columns.empty(rows)
        until = time.monotonic() + _PATIENCE
        for n, row in enumerate(rows, start=1):
            self._prepare_row(columns, batch, row, dry_run)
            if stop() or time.monotonic() > until:
                batch.rows = rows[:n]
                break
        return batch

    def _prepare_row(self, columns: Columns, batch: Batch, row: Model, dry_run: bool) -> None:
        for column in columns.fields:
            if not columns.means(column, row):
                continue

            def work(column: EncryptedField = column) -> None:
                if not dry_run:
                    columns.operation.prepare([column], [row])
                columns.prepare_cell(batch, column, row, dry_run)

            try:
                self.try_cell(columns, column, row, work)
            except CannotOpen as exc:
                batch.leave(column, row, exc)

    def _is_known(self, columns: Columns, row: Model) -> bool:
        return any(_need(columns, column, row) in self._known for column in columns.fields)

    def _gives_others(self, contexts: Iterable[KeyContext]) -> bool:
        """Whether Vault gives, or refuses, other keys than those that it fails with, and so is there.

        ``contexts`` are those of the cells in question: it may give other keys of the same.
        """
        asked = [vaults[alias] for alias in self._aliases]
        suspects = [vault for vault in asked if vault.backend.asks_again_in()]
        failing = {context for *_, context in self._known}
        return all(_answers(vault, failing, contexts) for vault in suspects or asked)


def _need(columns: Columns, field: EncryptedField, row: Model) -> _Need:
    commitment, wrapped, context = b"", b"", ""
    try:
        commitment, wrapped = columns.keys_of(field, row)
        context = field.context_for(row).digest
    except (CannotOpen, InvalidVaultConfiguration):
        pass  # told when its turn comes
    return field.vault_alias, commitment, wrapped, context


def _contexts(columns: Columns, rows: Sequence[Model]) -> list[KeyContext]:
    """Return the key contexts of the first rows, a few of them."""
    found: dict[str, KeyContext] = {}
    for row in rows:
        for field in columns.fields:
            with suppress(InvalidVaultConfiguration):
                context = field.context_for(row)
                found.setdefault(context.digest, context)
        if len(found) >= _OTHERS:
            break
    return list(found.values())[:_OTHERS]


def _answers(vault: Vault, failing: Set[str], contexts: Iterable[KeyContext]) -> bool:
    on_record = DataKeyRecord.objects.using(router.db_for_write(DataKeyRecord)).filter(vault=vault.alias)
    newest = on_record.defer("key_context").order_by("-pk")[:_NEWEST]
    records = {row.context_digest: key_record(row) for row in reversed(list(newest))}
    others = [each for context, each in records.items() if each.is_sound and context not in failing]
    shuffle(others)
    cache = vault.keyring.cache  # what Vault gave a moment ago, it most likely gives again
    others.sort(key=lambda each: cache.fresh(each.commitment) is None)
    backend = vault.backend
    asks = [partial(backend.decrypt_data_key, each.wrapped) for each in others[:_OTHERS]]
    # Those others may be failing too, and not be known of yet; or there is no other context.
    own = [] if vault.key_context is None else [vault.key_context]
    asks += [partial(_new_key, backend, context) for context in (*own, *contexts)]
    return any(_is_answered(vault, ask) for ask in asks)  # one by one: the first failure would end a batch


def _new_key(backend: VaultBackend, context: KeyContext) -> DataKey:
    """Return a key that was just made, unwrapped: where only that fails, no cell can be opened."""
    made = backend.create_data_key(context.items)
    made.wipe()
    return backend.decrypt_data_key(made.wrapped)


def _is_answered(vault: Vault, ask: Callable[[], DataKey]) -> bool:
    vault.backend.forget_outage()
    try:
        ask().wipe()
    except VaultError as exc:
        return not is_outage(exc)
    return True
