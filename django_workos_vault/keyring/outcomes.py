"""What is known of wrapped keys: the key that one gave and is in memory, or that Vault just refused it."""

import copy
import hmac
import logging
from collections.abc import Callable, Iterable

from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.exceptions import (
    OUTAGES,
    VaultError,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRequestError,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.keyring.cache import KeyCache
from django_workos_vault.keyring.policy import Counters

logger = logging.getLogger("django_workos_vault")

#: How long a refusal is taken as Vault's answer, in seconds. Who gives access back waits that long.
REMEMBERED = 10.0

#: Seconds that a key is used on before Vault is asked again, while ``outage_grace`` runs.
STRETCH = 5.0

Refusal = VaultError | WrongKey
Outcome = LoadedKey | Refusal
#: a commitment, and a wrapped key that should give its key; no bytes where the registry keeps that
Question = tuple[bytes, bytes]


class Outcomes:
    """The outcomes of one vault's questions, as far as they are in memory.

    A key in memory is good for the cells whose wrapped key was seen to give it, and for no others: a cell
    whose wrapped key was changed could not be opened by any other process, nor by this one tomorrow.

    At most ``size`` refusals are remembered, for ``REMEMBERED`` seconds: Vault is asked again now and then,
    and not for every cell of a page. They are kept by commitment and wrapped key, because anybody who can
    write a cell can make a changed blob be refused. An outage, a rate limit or a wrong API key says nothing
    about a key, and is not remembered.
    """

    def __init__(
        self, vault: str, cache: KeyCache, size: int, clock: Callable[[], float], counters: Counters
    ) -> None:
        self._vault = vault
        self._cache = cache
        self._size = size
        self._clock = clock
        self._counters = counters
        self._refused: dict[Question, tuple[float, Refusal]] = {}

    def at_hand(self, questions: Iterable[Question]) -> dict[Question, Outcome]:
        """Return the outcomes that are known."""
        found: dict[Question, Outcome] = {}
        for commitment, blob in questions:
            key = self._cache.fresh(commitment)
            if key is not None and key.is_proven(blob):
                found[commitment, blob] = key
            elif (refusal := self._refusal((commitment, blob))) is not None:
                found[commitment, blob] = refusal
        return found

    def judged(
        self, asked: Iterable[Question], answers: Iterable[DataKey | VaultError]
    ) -> dict[Question, Outcome]:
        """Return, and remember, what Vault's ``answers`` to the questions ``asked`` mean."""
        judged = {
            question: self._judge(*question, answer) for question, answer in zip(asked, answers, strict=True)
        }
        for question, outcome in judged.items():
            if isinstance(outcome, WrongKey | VaultPermissionDenied | VaultNotFound) or (
                isinstance(outcome, VaultUnavailable) and outcome.others_answered
            ):
                self._refuse(question, outcome)
        return judged

    def forget_refusals(self) -> None:
        """Have Vault asked again for what it refused."""
        self._refused.clear()

    def _refusal(self, question: Question) -> Refusal | None:
        found = self._refused.get(question)
        # A copy has no traceback, which would grow with each raise and hold on to everybody's frames.
        return copy.copy(found[1]) if found is not None and self._clock() < found[0] else None

    def _refuse(self, question: Question, error: Refusal) -> None:
        if len(self._refused) >= self._size:
            self._refused.clear()
        self._refused[question] = self._clock() + REMEMBERED, copy.copy(error)

    def _judge(self, commitment: bytes, blob: bytes, answer: DataKey | VaultError) -> Outcome:
        if isinstance(answer, DataKey):
            return self._accepted(commitment, blob, answer)
        if isinstance(answer, OUTAGES):
            # The key at hand is right: which key a cell needs is told by its commitment, not by its blob.
            return self._cache.fresh(commitment) or self._stretched(commitment, answer)
        if isinstance(answer, VaultRequestError):
            error = WrongKey(
                "Vault refuses the wrapped data key of this cell: it was changed, or the key that wraps it "
                f"was withdrawn. ({answer})"
            )
            error.__cause__ = answer
            return error
        return answer

    def _accepted(self, commitment: bytes, blob: bytes, answer: DataKey) -> Outcome:
        self._counters.unwrapped += 1
        try:
            key = LoadedKey.answered(answer)
        except VaultUnavailable as exc:
            return exc
        if not hmac.compare_digest(key.commitment, commitment):
            return WrongKey("The wrapped data key of this cell is not the one that sealed it.")
        held = self._cache.fresh(commitment)
        if held is None:
            self._cache.put(key)
            return key
        held.prove(blob)
        return held

    def _stretched(self, commitment: bytes, error: VaultError) -> Outcome:
        key = self._cache.stretched(commitment, STRETCH) if isinstance(error, VaultUnavailable) else None
        if key is None:
            return error
        self._counters.outage_uses += 1
        logger.warning(
            "Vault %r is unreachable: data key %s is used beyond its cache_ttl, as outage_grace allows. (%s)",
            self._vault,
            key.id,
            error,
        )
        return key
