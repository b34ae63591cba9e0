"""The data keys of one vault: what seals a value now, and what opens one.

A data key is shared by everything sealed under one (vault, key context) until it is ``rotate_after`` old or
has sealed ``max_messages`` values. The registry shares the current one between processes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice

from django_workos_vault.backends import forks
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.datakey import LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import EnvelopeError, VaultError, WrongKey
from django_workos_vault.keyring.authenticity import Authenticity
from django_workos_vault.keyring.budget import Budgets
from django_workos_vault.keyring.cache import KeyCache
from django_workos_vault.keyring.elsewhere import Elsewhere
from django_workos_vault.keyring.outcomes import Outcome, Outcomes, Question
from django_workos_vault.keyring.policy import Counters, DataKeyPolicy, KeyRingStats
from django_workos_vault.keyring.records import KeyRecord, Registry
from django_workos_vault.keyring.rotation import Rotation, ready_or_raise
from django_workos_vault.keyring.unwrapping import Unwrapping


class KeyRing:
    """The data keys of one vault, shared by all threads and tasks of the process.

    ``others`` are asked for what opens a cell where this vault does not know; never for what seals.
    """

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        policy: DataKeyPolicy,
        declared: DeclaredContexts | None = None,
        others: "Callable[[], Sequence[KeyRing]]" = tuple,
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
        self.budgets = Budgets(registry, policy, clock, self.counters)
        self.outcomes = Outcomes(vault, self.cache, policy.cache_size, clock, self.counters)
        self.unwrapping = Unwrapping(vault=vault, backend=backend, registry=registry, outcomes=self.outcomes)
        self.elsewhere = Elsewhere(self.unwrapping, others)
        self._authenticity = Authenticity(vault)
        self.rotation = Rotation(
            vault=vault,
            backend=backend,
            registry=registry,
            declared=self.declared,
            cache=self.cache,
            budgets=self.budgets,
            unwrapping=self.unwrapping,
            authenticity=self._authenticity,
            counters=self.counters,
        )
        forks.watch(self)

    def _begin(self) -> None:
        """Start in a forked process, which keeps the keys but takes no lease over."""
        self.counters.reset()
        self.budgets.forget()

    def sealing_key(self, context: KeyContext) -> LoadedKey:
        """Return the current data key of ``context``, counting one message against its budget.

        Raises VaultError when a key must be made or unwrapped and Vault cannot do it.
        """
        budget = self.budgets.get(context.digest)
        if budget is not None and (budget.settled or budget.stands()):
            key = self.cache.get(budget.commitment)
            if key is not None:
                now = self.clock()
                if now < key.expires_at and now < budget.retires_at and key.wrapped == budget.wrapped:
                    # What Budget.take() does: this runs for every value.
                    if next(budget.used) < budget.granted:
                        self.counters.sealed += 1
                        return key
                    budget.exhausted = True
        return self._cold_sealing_key(context)

    def sealing_key_for(self, context: KeyContext, messages: int) -> tuple[LoadedKey, int]:
        """Return :meth:`sealing_key`, and how many of up to ``messages`` values it may seal: one at least."""
        key = self.sealing_key(context)
        budget = self.budgets.get(context.digest)
        if messages < 2 or budget is None or budget.commitment != key.commitment:
            return key, 1
        more = budget.take_up_to(messages - 1)
        self.counters.sealed += more
        return key, 1 + more

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
        outcomes = self.elsewhere.load((envelope, *islice(neighbours, self.policy.cache_size - 1)))
        outcome = outcomes[envelope.commitment, envelope.key_reference]
        if isinstance(outcome, LoadedKey):
            return outcome
        raise outcome

    def load(self, envelopes: Iterable[Envelope]) -> None:
        """Unwrap the keys of ``envelopes`` that are not in memory, together and concurrently.

        Keys that cannot be had are passed over: opening their cells raises the reason.
        """
        self.elsewhere.load(envelopes)

    async def aload(self, envelopes: Iterable[Envelope]) -> None:
        """:meth:`load` for async code."""
        await self.elsewhere.aload(envelopes)

    def prove(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Return what Vault makes of each wrapped key of ``envelopes``, asked for whatever is in memory.

        A reference cell's is the registry's. Outcomes are by commitment and the cell's key reference.
        """
        return self.elsewhere.prove(envelopes)

    def check_may_wait(self) -> None:
        """Raise WouldBlockEventLoop in a running event loop, where Vault is reached over a network."""
        self.unwrapping.check_may_wait()

    def is_ready(self, context: KeyContext) -> bool:
        """Whether a key to seal with under ``context`` is in memory."""
        budget = self.budgets.get(context.digest)
        return (
            budget is not None
            and self.clock() < budget.retires_at
            and self.cache.fresh(budget.commitment) is not None
        )

    def prepare(self, contexts: Iterable[KeyContext]) -> None:
        """Have a key to seal with in memory for each of ``contexts``, asking Vault for all of them together.

        Contexts for which none can be had are passed over: sealing under them raises the reason.
        """
        cold = [context for context in dict.fromkeys(contexts) if not self.is_ready(context)]
        if cold:
            self.rotation.current(cold)

    def retire(self, context: KeyContext) -> LoadedKey:
        """Make a new data key for ``context`` now, whatever the age of the current one, and return it."""
        return self.rotation.next(context)[1]

    def renew(self, contexts: Iterable[KeyContext], since: datetime) -> dict[str, Exception | None]:
        """Have this process seal with keys made after ``since``, an aware time; make those that are missing.

        Return by the digest of each context why there is none, or None.
        """
        outcomes = self.rotation.since(contexts, since)
        return {d: outcome if isinstance(outcome, Exception) else None for d, outcome in outcomes.items()}

    def verify(
        self, filed: Sequence[tuple[KeyContext, KeyRecord]]
    ) -> list[VaultError | EnvelopeError | None]:
        """Return what is wrong with each record, None where it unwraps to the key it names and describes.

        Vault is asked for every one, together and concurrently, whatever is in memory.
        """
        answers = self.backend.decrypt_data_keys([record.wrapped for _, record in filed])
        return [
            self._authenticity.fault(record, context, answer)
            for answer, (context, record) in zip(answers, filed, strict=True)
        ]

    def forget(self) -> None:
        """Drop every key from memory. The next use asks Vault again."""
        self.cache.clear()
        self.backend.forget_outage()
        self.outcomes.forget_refusals()
        self.rotation.forget()
        self.budgets.forget()

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
        ready = None
        budget = self.budgets.get(context.digest)
        if budget is not None and not budget.settled and self.is_ready(context):
            key = self.cache.fresh(budget.commitment)
            if key is not None and key.wrapped == budget.wrapped:
                with suppress(WrongKey):  # destroyed meanwhile: another one seals from now on
                    self.budgets.restore(budget)  # a rollback has undone it
                    ready = budget, key
        if ready is None:
            self.counters.misses += 1
        while ready is None or not ready[0].take():
            ready = ready_or_raise(self.rotation.current([context])[context.digest])
        self.counters.sealed += 1
        return ready[1]
