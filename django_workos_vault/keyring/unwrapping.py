"""Keys to open with: from memory, or unwrapped by Vault, the unknown ones of many cells together."""

import asyncio
import hmac
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from django_workos_vault.backends import batch
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultError,
    VaultNotFound,
    VaultPermissionDenied,
    VaultRateLimited,
    VaultRequestError,
    VaultUnavailable,
    WouldBlockEventLoop,
    WrongKey,
)
from django_workos_vault.keyring.cache import KeyCache
from django_workos_vault.keyring.flights import SingleFlight
from django_workos_vault.keyring.policy import Counters
from django_workos_vault.keyring.records import Registry
from django_workos_vault.keyring.refusals import Refusals

logger = logging.getLogger("django_workos_vault")

#: Seconds that a key is used on before Vault is asked again, while ``outage_grace`` runs.
STRETCH = 5.0

#: Wrapped keys asked for before those who wait for one of them are told.
AT_ONCE = 64

Outcome = LoadedKey | VaultError | WrongKey
#: a commitment, and a wrapped key that should give its key; no bytes where the registry keeps that
Question = tuple[bytes, bytes]
#: what says something about a vault, and nothing about a key
_NO_ANSWER = (VaultUnavailable, VaultRateLimited, VaultAuthenticationError)


class KeyLoader:
    """Unwraps the keys of one vault, each wrapped key once however many threads and tasks need it.

    A key in memory is good for the cells whose wrapped key was seen to give it, and for no others: a cell
    whose wrapped key was changed could not be opened by any other process, nor by this one tomorrow.
    """

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
        self._flights: SingleFlight[Question, Outcome] = SingleFlight()

    def load(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Return the keys of ``envelopes`` that are not in memory, or why there is none."""
        missing = self._missing(envelopes)
        at_hand = self._at_hand(missing)
        if len(at_hand) == len(missing):
            return at_hand
        self.check_may_wait()
        inline, referred = _split(missing)
        found = self._registry.find(referred) if referred else {}
        return _answered(missing, found, self.loaded([*inline, *found.items()]))

    async def aload(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """:meth:`load` for async code."""
        missing = self._missing(envelopes)
        inline, referred = _split(missing)
        found = await self._registry.afind(referred) if referred else {}
        questions = [*inline, *found.items()]
        if self._backend.answers_at_once:
            return _answered(missing, found, self.loaded(questions))
        outcomes = self._at_hand(questions)
        while cold := [question for question in questions if question not in outcomes]:
            with self._flights.claim(cold) as claim:
                down: VaultError | None = None
                for some in _portions(claim.mine):
                    blobs = [blob for _, blob in some]
                    answers = (
                        await self._backend.adecrypt_data_keys(blobs) if down is None else [down] * len(some)
                    )
                    claim.land(self._judged(some, answers))
                    down = batch.down(answers)
                outcomes |= await claim.await_(self._backend.deadline, self._late())
        return _answered(missing, found, outcomes)

    def loaded(self, questions: Iterable[Question]) -> dict[Question, Outcome]:
        """Return the key of each question, from memory or by unwrapping, or why there is none."""
        questions = list(questions)
        outcomes = self._at_hand(questions)
        while cold := [question for question in questions if question not in outcomes]:
            with self._flights.claim(cold) as claim:
                for some, answers in self._asked(claim.mine):
                    claim.land(self._judged(some, answers))
                outcomes |= claim.wait(self._backend.deadline, self._late())
        return outcomes

    def prove(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Ask Vault for the key of each of ``envelopes``, whatever is in memory."""
        asked = list(dict.fromkeys((each.commitment, each.key_reference) for each in envelopes))
        inline, referred = _split(asked)
        found = self._registry.find(referred) if referred else {}
        questions = list(dict.fromkeys([*inline, *found.items()]))
        outcomes: dict[Question, Outcome] = {}
        for some, answers in self._asked(questions):
            judged = self._judged(some, answers)
            outcomes |= judged | {
                question: answer
                for question, answer in zip(some, answers, strict=True)
                if isinstance(answer, _NO_ANSWER)
            }
        return _answered(asked, found, outcomes)

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

    def _missing(self, envelopes: Iterable[Envelope]) -> list[Question]:
        missing: dict[Question, None] = {}
        for envelope in envelopes:
            key = self._cache.fresh(envelope.commitment)
            if key is None or not key.is_proven(envelope.key_reference):
                missing[envelope.commitment, envelope.key_reference] = None
        return list(missing)

    def _at_hand(self, questions: Iterable[Question]) -> dict[Question, Outcome]:
        """Return the keys in memory, and what Vault refused a moment ago."""
        found: dict[Question, Outcome] = {}
        for commitment, blob in questions:
            key = self._cache.fresh(commitment)
            if key is not None and key.is_proven(blob):
                found[commitment, blob] = key
            elif (refusal := self._refusals.get((commitment, blob))) is not None:
                found[commitment, blob] = refusal
        return found

    def _asked(
        self, questions: list[Question]
    ) -> Iterator[tuple[list[Question], Sequence[DataKey | VaultError]]]:
        """Yield a few questions at a time with Vault's answers, no more requests once there are none."""
        down: VaultError | None = None
        for some in _portions(questions):
            blobs = [blob for _, blob in some]
            answers = self._backend.decrypt_data_keys(blobs) if down is None else [down] * len(some)
            yield some, answers
            down = batch.down(answers)

    def _late(self) -> VaultUnavailable:
        return VaultUnavailable(
            f"Another thread or task has been asking vault {self._vault!r} for this data key for "
            f"{self._backend.deadline:g} seconds."
        )

    def _judged(
        self, asked: Iterable[Question], answers: Iterable[DataKey | VaultError]
    ) -> dict[Question, Outcome]:
        judged = {
            question: self._judge(*question, answer) for question, answer in zip(asked, answers, strict=True)
        }
        for question, outcome in judged.items():
            if isinstance(outcome, WrongKey | VaultPermissionDenied | VaultNotFound) or (
                isinstance(outcome, VaultUnavailable) and outcome.others_answered
            ):
                self._refusals.add(question, outcome)
        return judged

    def _judge(self, commitment: bytes, blob: bytes, answer: DataKey | VaultError) -> Outcome:
        if isinstance(answer, DataKey):
            return self._accepted(commitment, blob, answer)
        if isinstance(answer, _NO_ANSWER):
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
        self.counters.unwrapped += 1
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
        self.counters.outage_uses += 1
        logger.warning(
            "Vault %r is unreachable: data key %s is used beyond its cache_ttl, as outage_grace allows. (%s)",
            self._vault,
            key.id,
            error,
        )
        return key


def _split(questions: Iterable[Question]) -> tuple[list[Question], list[bytes]]:
    """Return the questions of cells that carry their wrapped key, and the commitments of the others."""
    questions = list(questions)
    return (
        [question for question in questions if question[1]],
        [commitment for commitment, blob in questions if not blob],
    )


def _answered(
    asked: Iterable[Question], found: Mapping[bytes, bytes], outcomes: Mapping[Question, Outcome]
) -> dict[Question, Outcome]:
    """Return the outcomes of ``asked``, where ``found`` are the wrapped keys that the registry keeps."""
    answers: dict[Question, Outcome] = {}
    for commitment, blob in asked:
        if blob:
            answers[commitment, blob] = outcomes[commitment, blob]
        elif commitment in found:
            outcome = answers[commitment, blob] = outcomes[commitment, found[commitment]]
            if isinstance(outcome, LoadedKey):
                outcome.prove(blob)
        else:
            answers[commitment, blob] = WrongKey(
                "The registry has no record of the data key that this cell refers to."
            )
    return answers


def _portions(questions: list[Question]) -> Iterator[list[Question]]:
    for start in range(0, len(questions), AT_ONCE):
        yield questions[start : start + AT_ONCE]
