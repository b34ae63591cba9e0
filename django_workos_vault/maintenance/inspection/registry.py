"""The registry of one vault: every key in it is what it claims, and of a key context that is declared."""

import hmac
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from django.db import router
from django.db.models import QuerySet

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    VaultRequestError,
    WrongKey,
    is_outage,
)
from django_workos_vault.keyring.records import KeyRecord
from django_workos_vault.maintenance.inspection.findings import Finding, Progress, advice_for
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.models import DataKeyRecord, IndexKeyRecord
from django_workos_vault.registry.rows import as_told, key_record, readable_rows
from django_workos_vault.vault import Vault

_KEYS_AT_A_TIME = 100


def inspect_registry(vault: Vault, progress: Progress, sample: int | None) -> Iterator[Finding]:
    """Yield a finding for each record of the vault's registry that is not what it claims, or one for all.

    Of the data keys ``sample`` are looked at (half oldest, half newest) or all (None). An outage is the last.
    """
    rows = _records(DataKeyRecord, vault)
    total, looked_at, wrong = rows.count(), 0, 0
    with progress(total if sample is None else min(total, sample), "keys") as bar:
        for pks in _chosen(rows, total, sample):
            batch = readable_rows(rows.filter(pk__in=pks))
            try:
                for finding in _faults(vault, batch):
                    wrong += 1
                    yield finding
            except VaultError as exc:
                yield Finding("registry", vault.alias, "problem", f"Stopped: {exc}", advice_for(exc))
                return
            bar.update(len(batch))
            looked_at += len(batch)
    for finding in _index_root_faults(vault):
        wrong += 1
        yield finding
    if not wrong:
        number = f"All {total}" if looked_at == total else f"{looked_at} of {total}"
        yield Finding("registry", vault.alias, "ok", f"{number} data keys unwrap and are filed rightly.")


def _records(model: Any, vault: Vault) -> "QuerySet[Any]":
    """Return the records of a vault from where they are written: a replica may lag behind."""
    rows: QuerySet[Any] = model.objects.using(router.db_for_write(model)).filter(vault=vault.alias)
    return rows


def _chosen(rows: "QuerySet[DataKeyRecord]", total: int, sample: int | None) -> Iterator[Sequence[int]]:
    if sample is not None and total > sample:
        newest = sample // 2
        for order, number in (("pk", sample - newest), ("-pk", newest)):
            yield list(rows.order_by(order).values_list("pk", flat=True)[:number])
        return
    last = 0
    while pks := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:_KEYS_AT_A_TIME]):
        yield pks
        last = pks[-1]


def inspect_contexts(vault: Vault) -> Iterator[Finding]:
    """Yield a finding for each key context of the registry that is not declared, or one for all of them."""
    if not vault.declared:
        if not vault.backend.for_development:
            yield Finding("key contexts", vault.alias, "skipped", _NOT_DECLARED, "See DECLARED_CONTEXTS.")
        return
    contexts, wrong = set(), 0
    for row in _records(DataKeyRecord, vault).order_by("pk").iterator():
        with suppress(InvalidVaultConfiguration):  # told with the registry
            context = KeyContext(row.key_context)
            if context not in contexts and (fault := vault.declared.fault(context)):
                wrong += 1
                subject = f"{vault.alias}: data key {row.key_id}"
                yield Finding("key contexts", subject, "problem", _UNDECLARED, advice_for(fault))
            contexts.add(context)
    if not wrong:
        message = f"All {len(contexts)} key contexts with a data key are declared."
        yield Finding("key contexts", vault.alias, "ok", message)


def _faults(vault: Vault, rows: list[DataKeyRecord]) -> Iterator[Finding]:
    readable: list[tuple[KeyContext, KeyRecord]] = []
    for row in rows:
        record = key_record(row)
        try:
            context = KeyContext(row.key_context)
        except InvalidVaultConfiguration:
            context = None
        if context is None or not record.is_sound:
            yield _fault(vault, record.key_id, "The record cannot be read: it was changed.", _REPAIR)
            continue
        if not hmac.compare_digest(context.digest.encode(), row.context_digest.encode()):
            yield _fault(vault, record.key_id, "The record is filed under another key context.", _REPAIR)
            continue
        readable.append((context, record))
    for (_, record), fault in zip(readable, _verified(vault, readable), strict=True):
        if fault is not None:
            advice = _REPAIR if isinstance(fault, EnvelopeError) else _advice_for_wrapped(fault)
            yield _fault(vault, record.key_id, str(fault), advice)


def _verified(
    vault: Vault, filed: Sequence[tuple[KeyContext, KeyRecord]]
) -> list[VaultError | EnvelopeError | None]:
    """Return what is wrong with each record. Raises VaultError in an outage."""
    found: dict[int, VaultError | EnvelopeError | None] = {}

    def ask() -> None:
        rest = [number for number in range(len(filed)) if number not in found]
        outage = None
        for number, fault in zip(rest, vault.keyring.verify([filed[each] for each in rest]), strict=True):
            if isinstance(fault, VaultError) and is_outage(fault):
                outage = outage or fault
            else:
                found[number] = fault
        if outage is not None:
            raise outage

    patiently(ask)
    return [found[number] for number in range(len(filed))]


def _index_root_faults(vault: Vault) -> Iterator[Finding]:
    vault.index_keys.forget()
    for row in _records(IndexKeyRecord, vault).order_by("version"):
        try:
            patiently(partial(vault.index_keys.key, row.version, b"vault_check"))
        except VaultError as exc:
            yield _fault(
                vault, as_told(row.key_id), f"Index root key {row.version}: {exc}", _advice_for_wrapped(exc)
            )
        except WrongKey:
            message = f"The record of index root key {row.version} was changed: searches would find nothing."
            yield _fault(
                vault, as_told(row.key_id), message, "Restore the record from a backup; nothing replaces it."
            )


def _fault(vault: Vault, key_id: str, message: str, advice: str) -> Finding:
    return Finding("registry", f"{vault.alias}: data key {key_id}", "problem", message, advice)


def _advice_for_wrapped(error: VaultError) -> str:
    """Return what to do when Vault, asked to unwrap a key on record, raised ``error``."""
    return _REFUSED if isinstance(error, VaultRequestError) else advice_for(error)


_NOT_DECLARED = (
    "Not compared with anything: Vault does not say whether a context has the customer's own key, or fell "
    "back to one of WorkOS's because the value is misspelt."
)
_UNDECLARED = (
    "It seals under a key context that DECLARED_CONTEXTS does not hold: if the value is misspelt, the "
    "customer's own key does not protect what was sealed."
)
_REFUSED = (
    "Is this the vault that made the key? Another base_url, API environment or key file, and an emulator "
    "restarted without --state, know none of its keys: go back to the one that does. Otherwise the key was "
    "withdrawn (ask its owner), or the record changed (restore it from a backup)."
)
_REPAIR = (
    "Find out who writes to the registry table. Restore the record from a backup; with inline envelopes it "
    "may be deleted instead: cells carry their own wrapped key, and a new key is made for writing."
)
