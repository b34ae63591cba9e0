"""Keys to open with: from memory, or unwrapped by Vault, the unknown ones of many cells together."""

import os
from asyncio import get_running_loop
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from asgiref.sync import sync_to_async

from django_workos_vault.backends import batch, forks
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import (
    OUTAGES,
    VaultError,
    VaultUnavailable,
    WouldBlockEventLoop,
    WrongKey,
)
from django_workos_vault.keyring.flights import SingleFlight
from django_workos_vault.keyring.outcomes import Outcome, Outcomes, Question
from django_workos_vault.keyring.records import Registry

#: Wrapped keys asked for before those who wait for one of them are told.
AT_ONCE = 64


class Unwrapping:
    """Unwraps the keys of one vault, each wrapped key once however many threads and tasks need it."""

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        outcomes: Outcomes,
    ) -> None:
        self._vault = vault
        self._backend = backend
        self._registry = registry
        self._outcomes = outcomes
        self._flights: SingleFlight[Question, Outcome] = SingleFlight()
        self._begin()
        forks.watch(self)

    def _begin(self) -> None:
        # Not the event loop's own threads, which a Vault that does not answer would keep from everybody else,
        # nor the backend's, where a call's deadline runs from the moment that it was asked for.
        self._threads = ThreadPoolExecutor(self._backend.async_threads, "vault-keys")

    def load(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Return the key of each of ``envelopes``, or why there is none."""
        asked = _questions(envelopes)
        outcomes = self._outcomes.at_hand(asked)
        if len(outcomes) < len(asked):
            self.check_may_wait()
            cold = [question for question in asked if question not in outcomes]
            outcomes |= self._resolved(cold, self._wrapped(cold))
        return outcomes

    def at_hand(self, questions: Iterable[Question]) -> dict[Question, Outcome]:
        """Return what is in memory of the keys of ``questions``."""
        return self._outcomes.at_hand(questions)

    async def aload(self, envelopes: Iterable[Envelope]) -> None:
        """:meth:`load` for async code, which reads the keys from memory afterwards."""
        asked = _questions(envelopes)
        outcomes = self._outcomes.at_hand(asked)
        cold = [question for question in asked if question not in outcomes]
        # The registry in Django's own thread, which has a connection; Vault in one that may be waited in.
        wrapped = await sync_to_async(self._wrapped)(cold) if _referred(cold) else {}
        if self._backend.answers_at_once:
            self._resolved(cold, wrapped)
        elif cold:
            await get_running_loop().run_in_executor(self._threads, self._resolved, cold, wrapped)

    def keys(self, questions: Iterable[Question]) -> dict[Question, Outcome]:
        """Return the key of each question, from memory or by unwrapping, or why there is none."""
        questions = list(dict.fromkeys(questions))
        outcomes = self._outcomes.at_hand(questions)
        cold = [question for question in questions if question not in outcomes]
        return outcomes | self._flights.outcomes(cold, self._unwrapped, self._backend.deadline, self._late)

    def prove(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Ask Vault for the key of each of ``envelopes``, whatever is in memory."""
        asked = _questions(envelopes)
        wrapped = self._wrapped(asked)
        outcomes: dict[Question, Outcome] = {}
        for some, answers in self._asked(_inline(asked, wrapped)):
            outcomes |= self._outcomes.judged(some, answers) | {
                question: answer
                for question, answer in zip(some, answers, strict=True)
                if isinstance(answer, OUTAGES)
            }
        return _answered(asked, wrapped, outcomes)

    def check_may_wait(self) -> None:
        """Raise WouldBlockEventLoop in a running event loop, where a network would have to be awaited."""
        if self._backend.answers_at_once or os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE"):
            return
        try:
            get_running_loop()
        except RuntimeError:
            return
        raise WouldBlockEventLoop(
            f"Reading this value needs a key from vault {self._vault!r}, and waiting for it here would block "
            "the event loop. Before reading: await aload_keys(instances), from django_workos_vault.fields, "
            "once for all the instances you are going to read."
        )

    def _wrapped(self, asked: Iterable[Question]) -> dict[bytes, bytes]:
        """Return the wrapped keys that the registry keeps for cells that carry none."""
        referred = _referred(asked)
        return self._registry.find(referred) if referred else {}

    def _resolved(self, asked: Iterable[Question], wrapped: Mapping[bytes, bytes]) -> dict[Question, Outcome]:
        return _answered(asked, wrapped, self.keys(_inline(asked, wrapped)))

    def _unwrapped(self, questions: list[Question]) -> Iterator[dict[Question, Outcome]]:
        at_hand = self._outcomes.at_hand(questions)  # another may have brought it a moment ago
        yield at_hand
        for some, answers in self._asked([each for each in questions if each not in at_hand]):
            yield self._outcomes.judged(some, answers)

    def _asked(
        self, questions: Iterable[Question]
    ) -> Iterator[tuple[list[Question], Sequence[DataKey | VaultError]]]:
        """Yield a few questions at a time with Vault's answers, no more requests once there are none."""
        questions = list(questions)
        down: VaultError | None = None
        for start in range(0, len(questions), AT_ONCE):
            some = questions[start : start + AT_ONCE]
            blobs = [blob for _, blob in some]
            answers = self._backend.decrypt_data_keys(blobs) if down is None else [down] * len(some)
            yield some, answers
            down = batch.down(answers)

    def _late(self) -> VaultUnavailable:
        return VaultUnavailable(
            f"Another thread or task has been asking vault {self._vault!r} for this data key for "
            f"{self._backend.deadline:g} seconds."
        )


def _questions(envelopes: Iterable[Envelope]) -> list[Question]:
    return list(dict.fromkeys((each.commitment, each.key_reference) for each in envelopes))


def _referred(asked: Iterable[Question]) -> list[bytes]:
    return [commitment for commitment, blob in asked if not blob]


def _inline(asked: Iterable[Question], wrapped: Mapping[bytes, bytes]) -> dict[Question, None]:
    """Return what to ask Vault for; nothing where a cell carries no wrapped key and ``wrapped`` has none."""
    return dict.fromkeys(
        (commitment, blob or wrapped[commitment])
        for commitment, blob in asked
        if blob or commitment in wrapped
    )


def _answered(
    asked: Iterable[Question], wrapped: Mapping[bytes, bytes], outcomes: Mapping[Question, Outcome]
) -> dict[Question, Outcome]:
    """Return the outcomes of ``asked``, where ``wrapped`` are the wrapped keys that the registry keeps."""
    answers: dict[Question, Outcome] = {}
    for commitment, blob in asked:
        if blob:
            answers[commitment, blob] = outcomes[commitment, blob]
        elif commitment in wrapped:
            outcome = answers[commitment, blob] = outcomes[commitment, wrapped[commitment]]
            if isinstance(outcome, LoadedKey):
                outcome.prove(blob)
        else:
            answers[commitment, blob] = WrongKey(
                "The registry has no record of the data key that this cell refers to."
            )
    return answers
