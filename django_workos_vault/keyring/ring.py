"""Which data key to seal with: made once, shared between processes, kept within its budget and its age.

A data key is shared by everything sealed under one (vault, key context) until it is ``rotate_after`` old or
has sealed ``max_messages`` values. The registry shares the current one between processes.
"""

import hmac
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from weakref import WeakSet

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import (
    EnvelopeError,
    VaultError,
    VaultPermissionDenied,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.keyring.budget import Account, Ledger
from django_workos_vault.keyring.cache import KeyCache
from django_workos_vault.keyring.flights import SingleFlight
from django_workos_vault.keyring.policy import Counters, DataKeyPolicy, KeyRingStats
from django_workos_vault.keyring.records import KeyRecord, Registry
from django_workos_vault.keyring.refusals import Refusals
from django_workos_vault.keyring.unwrapping import KeyLoader, Outcome, Question

Ready = tuple[Account, LoadedKey]


class KeyRing:
    """The data keys of one vault, shared by all threads and tasks of the process."""

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        policy: DataKeyPolicy,
        declared: DeclaredContexts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.vault = vault
        self.backend = backend
        self.registry = registry
        self.policy = policy
        self.declared = declared or DeclaredContexts({})
        self.clock = clock
        self.closed = False
        self.counters = Counters()
        self.cache = KeyCache(
            policy.cache_size, policy.cache_ttl.total_seconds(), policy.outage_grace.total_seconds(), clock
        )
        self._begin()
        _rings.add(self)

    def _begin(self) -> None:
        """Start with no leases and nothing under way, in a new object or in a forked process."""
        self.counters.reset()
        self._refusals = Refusals(self.policy.cache_size, self.clock)
        self.loader = KeyLoader(
            self.vault, self.backend, self.registry, self.cache, self._refusals, self.counters
        )
        self.ledger = Ledger(self.registry, self.policy, self.clock, self.counters)
        self._never_unwraps: set[str] = set()
        self._flights: SingleFlight[str, Ready | Exception] = SingleFlight()

    def sealing_key(self, context: KeyContext) -> LoadedKey:
        """Return the current data key of ``context``, counting one message against its budget.

        Raises VaultError when a key must be made or unwrapped and Vault cannot do it.
        """
        account = self.ledger.get(context.digest)
        if account is not None and account.stands():
            key = self.cache.get(account.commitment)
            if key is not None:
                now = self.clock()
                if (
                    now < key.expires_at
                    and now < account.retires_at
                    and key.wrapped == account.wrapped
                    and account.take()
                ):
                    self.counters.sealed += 1
                    return key
        return self._cold_sealing_key(context)

    def opening_key(self, envelope: Envelope, neighbours: Iterable[Envelope] = ()) -> LoadedKey:
        """Return the data key that sealed ``envelope``, unwrapping it when it is not in memory.

        A key in memory is unwrapped all the same for a cell whose wrapped key was not seen to give it. The
        unknown keys of ``neighbours``, which are looked at only then, are unwrapped along with it. Raises
        WrongKey when the wrapped key gives another key than the envelope commits to, or when Vault refuses
        the wrapped key; a VaultError when Vault cannot be asked and the key is not in memory.
        """
        key = self.cache.fresh(envelope.commitment)
        if key is not None and key.is_proven(envelope.key_reference):
            return key
        self.counters.misses += 1
        outcomes = self.loader.load((envelope, *islice(neighbours, self.policy.cache_size - 1)))
        outcome = outcomes.get((envelope.commitment, envelope.key_reference))
        return self.opening_key(envelope) if outcome is None else _key_or_raise(outcome)

    def load(self, envelopes: Iterable[Envelope]) -> None:
        """Unwrap the keys of ``envelopes`` that are not in memory, together and concurrently.

        Keys that cannot be had are passed over: opening their cells raises the reason.
        """
        self.loader.load(envelopes)

    def prove(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Return what Vault makes of each wrapped key of ``envelopes``, asked for whatever is in memory.

        A reference cell's is the registry's. Outcomes are by commitment and the cell's key reference.
        """
        return self.loader.prove(envelopes)

    async def aload(self, envelopes: Iterable[Envelope]) -> None:
        """:meth:`load` for async code."""
        await self.loader.aload(envelopes)

    def is_ready(self, context: KeyContext) -> bool:
        """Whether a key to seal with under ``context`` is in memory."""
        account = self.ledger.get(context.digest)
        return (
            account is not None
            and self.clock() < account.retires_at
            and self.cache.fresh(account.commitment) is not None
        )

    def prepare(self, contexts: Iterable[KeyContext]) -> None:
        """Have a key to seal with in memory for each of ``contexts``, asking Vault for all of them together.

        Contexts for which none can be had are passed over: sealing under them raises the reason.
        """
        cold = [context for context in dict.fromkeys(contexts) if not self.is_ready(context)]
        if cold:
            self._prepared(cold)

    def retire(self, context: KeyContext) -> LoadedKey:
        """Make a new data key for ``context`` now, whatever the age of the current one, and return it."""
        self.loader.check_may_wait()
        self.declared.check(context)
        created = self._created([context], self.registry.current([context]), keep_mine=True)
        return _ready_or_raise(created[context.digest])[1]

    def verify(
        self, filed: Sequence[tuple[KeyContext, KeyRecord]]
    ) -> list[VaultError | EnvelopeError | None]:
        """Return what is wrong with each record, None where it unwraps to the key it names and describes.

        Vault is asked for every one, together and concurrently, whatever is in memory.
        """
        answers = self.backend.decrypt_data_keys([record.wrapped for _, record in filed])
        return [
            self._fault(answer, context.digest, record)
            for answer, (context, record) in zip(answers, filed, strict=True)
        ]

    def forget(self) -> None:
        """Drop every key from memory. The next use asks Vault again."""
        self.cache.clear()
        self.backend.forget_outage()
        self._refusals.clear()
        self._never_unwraps.clear()
        self.ledger = Ledger(self.registry, self.policy, self.clock, self.counters)

    def close(self) -> None:
        """Drop every key from memory, and tell whoever kept this ring to look for its successor."""
        self.closed = True
        self.forget()

    def stats(self) -> KeyRingStats:
        """Return what this vault did in this process so far."""
        counted = self.counters
        return KeyRingStats(
            requests=self.backend.requests_made,
            sealed=counted.sealed,
            opened=counted.opened,
            cache_hits=max(0, counted.sealed + counted.opened - counted.misses),
            cache_misses=counted.misses,
            keys_cached=len(self.cache),
            keys_created=counted.created,
            keys_unwrapped=counted.unwrapped,
            leases=counted.leases,
            outage_uses=counted.outage_uses,
            asks_again_in=self.backend.asks_again_in(),
        )

    def _cold_sealing_key(self, context: KeyContext) -> LoadedKey:
        account = self.ledger.get(context.digest)
        key = self.cache.fresh(account.commitment) if account and self.is_ready(context) else None
        carries = account is not None and key is not None and key.wrapped == account.wrapped
        if account is not None and carries and not account.settled:
            self.ledger.restore(account)
        else:
            account = None
            self.counters.misses += 1
        while account is None or key is None or not account.take():
            account, key = _ready_or_raise(self._prepared([context])[context.digest])
        self.counters.sealed += 1
        return key

    def _prepared(self, contexts: list[KeyContext]) -> dict[str, Ready | Exception]:
        self.loader.check_may_wait()
        if self.registry.joins_transaction():
            # Another thread's key might wait for the lock that this transaction holds: do not wait for it.
            return self._renewed(list(dict.fromkeys(contexts)))
        outcomes: dict[str, Ready | Exception] = {}
        while cold := {c.digest: c for c in contexts if c.digest not in outcomes}:
            with self._flights.claim(cold) as claim:
                if claim.mine:
                    claim.land(self._renewed([cold[digest] for digest in claim.mine]))
                outcomes |= claim.wait(2 * self.backend.deadline, self._late())  # to unwrap, and to make
        return outcomes

    def _renewed(self, contexts: list[KeyContext]) -> dict[str, Ready | Exception]:
        faults = {context.digest: self.declared.fault(context) for context in contexts}
        undeclared = {digest: fault for digest, fault in faults.items() if fault is not None}
        declared = [context for context in contexts if context.digest not in undeclared]
        return undeclared | (self._renewed_declared(declared) if declared else {})

    def _renewed_declared(self, contexts: list[KeyContext]) -> dict[str, Ready | Exception]:
        newest = self.registry.current(contexts)
        usable = {digest: record for digest, record in newest.items() if self.ledger.may_seal(digest, record)}
        keys = self._keys_of(usable)
        outcomes = self._opened({c: usable[c.digest] for c in contexts if c.digest in keys}, keys)
        missing = [context for context in contexts if context.digest not in outcomes]
        if missing:
            outcomes |= self._created(missing, newest)
            # Made without trouble where unwrapping is denied: this process may encrypt only.
            self._never_unwraps |= {
                digest
                for digest, key in keys.items()
                if isinstance(key, VaultPermissionDenied) and not isinstance(outcomes[digest], Exception)
            }
        return outcomes

    def _opened(
        self, records: dict[KeyContext, KeyRecord], keys: Mapping[str, Outcome]
    ) -> dict[str, Ready | Exception]:
        """Return what to seal with, and the failures that making another key would not mend."""
        outcomes: dict[str, Ready | Exception] = {
            digest: key
            for digest, key in keys.items()
            if isinstance(key, Exception) and not isinstance(key, VaultPermissionDenied)
        }
        held = {digest: key for digest, key in keys.items() if isinstance(key, LoadedKey)}
        accounts = self.ledger.open({c: record for c, record in records.items() if c.digest in held})
        for digest, account in accounts.items():
            account.wrapped = held[digest].wrapped
        return outcomes | {digest: (account, held[digest]) for digest, account in accounts.items()}

    def _keys_of(self, records: Mapping[str, KeyRecord]) -> dict[str, Outcome]:
        """Return the key of each record, or why there is none; nothing for those never to be unwrapped."""
        wanted = {
            digest: (record.commitment, record.wrapped)
            for digest, record in records.items()
            if record.is_sound and (digest not in self._never_unwraps or self.cache.fresh(record.commitment))
        }
        loaded = self.loader.loaded(dict.fromkeys(wanted.values()))
        unsound: dict[str, Outcome] = {d: self._changed(r) for d, r in records.items() if not r.is_sound}
        return unsound | {
            digest: self._carrying(self._proven(digest, records[digest], loaded[question]), records[digest])
            for digest, question in wanted.items()
        }

    def _carrying(self, key: Outcome, record: KeyRecord) -> Outcome:
        """Have new cells carry what the registry says, once that was seen to unwrap."""
        if isinstance(key, LoadedKey) and key.is_proven(record.wrapped):
            key.carry(record.wrapped)
            key.prove(b"")
        return key

    def _proven(self, digest: str, record: KeyRecord, key: Outcome) -> Outcome:
        if isinstance(key, LoadedKey) and hmac.compare_digest(self._proof(key, digest), record.proof):
            return key
        return key if isinstance(key, VaultError) else self._changed(record)

    def _changed(self, record: KeyRecord) -> WrongKey:
        return WrongKey(
            f"The registry's data key {record.key_id} of vault {self.vault!r} does not belong to the key "
            "context it is filed under, or its wrapped key was changed, withdrawn, or made by another vault "
            "(another base_url or key file). vault_check names every such record and says what to do; "
            f"vaults[{self.vault!r}].keyring.retire(context) makes a new key."
        )

    def _created(
        self, contexts: list[KeyContext], newest: Mapping[str, KeyRecord], *, keep_mine: bool = False
    ) -> dict[str, Ready | Exception]:
        """Make a key for each context, as the successor of the newest; the loser of a race uses the winner's.

        With ``keep_mine`` the loser becomes the winner's successor instead.
        """
        outcomes: dict[str, Ready | Exception] = {}
        mine: dict[KeyContext, tuple[KeyRecord, LoadedKey]] = {}
        answers = self.backend.create_data_keys([context.items for context in contexts])
        for context, answer in zip(contexts, answers, strict=True):
            try:
                key = LoadedKey.answered(_answer_or_raise(answer))
            except VaultError as exc:
                outcomes[context.digest] = exc
            else:
                self.counters.created += 1
                self.cache.put(key)
                mine[context] = self._successor(key, context.digest, newest.get(context.digest)), key
        while mine:
            added = self.ledger.add({context: record for context, (record, _) in mine.items()})
            winners = {digest: answer for digest, answer in added.items() if isinstance(answer, KeyRecord)}
            for context, (_, key) in list(mine.items()):
                account = added[context.digest]
                if isinstance(account, Account):
                    key.prove(b"")
                    outcomes[context.digest] = account, key
                elif isinstance(account, VaultError | WrongKey):
                    outcomes[context.digest] = account
            if not keep_mine:
                theirs = {digest: w for digest, w in winners.items() if self.ledger.may_seal(digest, w)}
                keys = {d: key for d, key in self._keys_of(theirs).items() if isinstance(key, LoadedKey)}
                outcomes |= self._opened({c: theirs[c.digest] for c in mine if c.digest in keys}, keys)
            mine = {
                context: (self._successor(key, context.digest, winners[context.digest]), key)
                for context, (_, key) in mine.items()
                if context.digest not in outcomes
            }
        return outcomes

    def _fault(
        self, answer: DataKey | VaultError, digest: str, record: KeyRecord
    ) -> VaultError | EnvelopeError | None:
        try:
            key = LoadedKey.answered(_answer_or_raise(answer))
        except VaultError as exc:
            return exc
        if not hmac.compare_digest(key.commitment, record.commitment):
            return WrongKey(
                f"The registry's record of data key {record.key_id} unwraps to another key: it was changed."
            )
        proven = self._proven(digest, record, key)
        return None if isinstance(proven, LoadedKey) else proven

    def _late(self) -> VaultUnavailable:
        return VaultUnavailable(
            f"Another thread has been fetching a data key of vault {self.vault!r} for "
            f"{2 * self.backend.deadline:g} seconds."
        )

    def _successor(self, key: LoadedKey, digest: str, newest: KeyRecord | None) -> KeyRecord:
        return KeyRecord(
            commitment=key.commitment,
            proof=self._proof(key, digest),
            key_id=key.id,
            wrapped=key.wrapped,
            created_at=datetime.now(UTC),
            generation=max(newest.generation, 0) + 1 if newest else 1,
        )

    def _proof(self, key: LoadedKey, digest: str) -> bytes:
        return key.derive(f"registry:{digest}:{self.vault}".encode())


def _key_or_raise(outcome: Outcome) -> LoadedKey:
    if isinstance(outcome, LoadedKey):
        return outcome
    raise outcome


def _answer_or_raise(answer: DataKey | VaultError) -> DataKey:
    if isinstance(answer, VaultError):
        raise answer
    return answer


def _ready_or_raise(outcome: Ready | Exception) -> Ready:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


# A forked process keeps the keys, but neither the leases nor what the parent's threads were waiting for.

_rings: "WeakSet[KeyRing]" = WeakSet()


def _before_fork() -> None:
    for ring in list(_rings):
        ring.cache.before_fork()


def _after_fork_in_parent() -> None:
    for ring in list(_rings):
        ring.cache.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for ring in list(_rings):
        ring.cache.after_fork_in_child()
        ring._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
    )
