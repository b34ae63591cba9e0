"""Keys to open with: from memory, or unwrapped by Vault, the unknown ones of many cells together."""

import asyncio
import hmac
import logging
import os
from collections.abc import Iterable, Mapping

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import (
    VaultError,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRequestError,
    VaultUnavailable,
    WouldBlockEventLoop,
    WrongKey,
)
from django_workos_vault.keycache import KeyCache
from django_workos_vault.keys import DataKey, LoadedKey
from django_workos_vault.policy import Counters
from django_workos_vault.records import Registry
from django_workos_vault.refusals import Refusals
from django_workos_vault.singleflight import SingleFlight

logger = logging.getLogger("django_workos_vault")

#: Seconds that a key is used on before Vault is asked again, while ``outage_grace`` runs.
STRETCH = 5.0

Outcome = LoadedKey | VaultError | WrongKey
#: the wrapped key of each commitment
Wrapped = Mapping[bytes, bytes]


class KeyLoader:
    """Unwraps the keys of one vault, each once however many threads and tasks need it."""

    def __init__(
        self,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        cache: KeyCache,
        refusals: Refusals,
        counters: Counters,
    ) -> None:
        self._vault = vault
        self._backend = backend
        self._registry = registry
        self._cache = cache
        self._refusals = refusals
        self.counters = counters
        # By commitment and blob: a changed blob must not fail for those who hold a sound one of the same key.
        self._flights: SingleFlight[tuple[bytes, bytes], Outcome] = SingleFlight()

    def load(self, envelopes: Iterable[Envelope]) -> dict[bytes, Outcome]:
        """Return, by commitment, the keys of ``envelopes`` that are not in memory, or why there is none."""
        missing = self._missing(envelopes)
        at_hand = self._at_hand(missing)
        if len(at_hand) == len(missing):
            return at_hand
        self.check_may_wait()
        inline, referred = _split(missing)
        return self._no_records(referred) | self.loaded(
            inline | (self._registry.find(referred) if referred else {})
        )

    async def aload(self, envelopes: Iterable[Envelope]) -> dict[bytes, Outcome]:
        """:meth:`load` for async code."""
        inline, referred = _split(self._missing(envelopes))
        wrapped = inline | (await self._registry.afind(referred) if referred else {})
        outcomes = self._no_records(referred)
        if self._backend.answers_at_once:
            return outcomes | self.loaded(wrapped)
        outcomes |= self._at_hand(wrapped)
        while cold := [item for item in wrapped.items() if item[0] not in outcomes]:
            with self._flights.claim(cold) as claim:
                blobs = [blob for _, blob in claim.mine]
                answers = await self._backend.adecrypt_data_keys(blobs) if blobs else []
                claim.land(self._judged(claim.mine, answers))
                outcomes |= _by_commitment(await claim.await_())
        return outcomes

    def loaded(self, wrapped: Wrapped) -> dict[bytes, Outcome]:
        """Return the key of each commitment, from memory or by unwrapping its blob, or why there is none."""
        outcomes = self._at_hand(wrapped)
        while cold := [item for item in wrapped.items() if item[0] not in outcomes]:
            with self._flights.claim(cold) as claim:
                blobs = [blob for _, blob in claim.mine]
                claim.land(self._judged(claim.mine, self._backend.decrypt_data_keys(blobs) if blobs else []))
                outcomes |= _by_commitment(claim.wait())
        return outcomes

    def check_may_wait(self) -> None:
        """Raise WouldBlockEventLoop in a running event loop, where a network would have to be awaited."""
        if self._backend.answers_at_once or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise WouldBlockEventLoop(
            f"Reading this value needs a key from vault {self._vault!r}, and waiting for it here would block "
            "the event loop. Before reading: await aload_keys(instances), from django_workos_vault.fields, "
            "once for all the instances you are going to read."
        )

    def _missing(self, envelopes: Iterable[Envelope]) -> dict[bytes, bytes]:
        missing: dict[bytes, bytes] = {}
        for envelope in envelopes:
            if self._cache.fresh(envelope.commitment) is None:
                # The first is the one that was asked for; a neighbour's blob may have been changed.
                missing.setdefault(envelope.commitment, envelope.key_reference)
        return missing

    def _at_hand(self, wrapped: Wrapped) -> dict[bytes, Outcome]:
        """Return the keys in memory, and what Vault refused a moment ago."""
        found = {
            name: self._cache.fresh(name) or self._refusals.get((name, wrapped[name])) for name in wrapped
        }
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def _no_records(self, referred: Iterable[bytes]) -> dict[bytes, Outcome]:
        error = WrongKey("The registry has no record of the data key that this cell refers to.")
        return dict.fromkeys(referred, error)

    def _judged(
        self, asked: Iterable[tuple[bytes, bytes]], answers: Iterable[DataKey | VaultError]
    ) -> dict[tuple[bytes, bytes], Outcome]:
        judged = {
            (commitment, blob): self._judge(commitment, answer)
            for (commitment, blob), answer in zip(asked, answers, strict=True)
        }
        for question, outcome in judged.items():
            if isinstance(outcome, WrongKey | VaultPermissionDenied | VaultNotFound):
                self._refusals.add(question, outcome)
        return judged

    def _judge(self, commitment: bytes, answer: DataKey | VaultError) -> Outcome:
        if isinstance(answer, DataKey):
            self.counters.unwrapped += 1
            key = LoadedKey(answer)
            if not hmac.compare_digest(key.commitment, commitment):
                return WrongKey("The wrapped data key of this cell is not the one that sealed it.")
            self._cache.put(key)
            return key
        if isinstance(answer, VaultUnavailable):
            return self._stretched(commitment, answer)
        if isinstance(answer, VaultRequestError):
            error = WrongKey(
                "Vault refuses the wrapped data key of this cell: it was changed, or the key that wraps it "
                f"was withdrawn. ({answer})"
            )
            error.__cause__ = answer
            return error
        return answer

    def _stretched(self, commitment: bytes, unavailable: VaultUnavailable) -> Outcome:
        key = self._cache.stretched(commitment, STRETCH)
        if key is None:
            return unavailable
        self.counters.outage_uses += 1
        logger.warning(
            "Vault %r is unreachable: data key %s is used beyond its cache_ttl, as outage_grace allows. (%s)",
            self._vault,
            key.id,
            unavailable,
        )
        return key


def _by_commitment(outcomes: Mapping[tuple[bytes, bytes], Outcome]) -> dict[bytes, Outcome]:
    return {commitment: outcome for (commitment, _), outcome in outcomes.items()}


def _split(missing: Wrapped) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the wrapped keys that the cells carry, and the commitments to look up in the registry."""
    return (
        {commitment: blob for commitment, blob in missing.items() if blob},
        [commitment for commitment, blob in missing.items() if not blob],
    )
