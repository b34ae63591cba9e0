"""Cells that another vault sealed: while a column moves from one vault to another, both are asked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from django_workos_vault.datakey import LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import WrongKey, is_outage
from django_workos_vault.keyring.outcomes import Outcome, Question
from django_workos_vault.keyring.unwrapping import Unwrapping


class HasUnwrapping(Protocol):
    """A key ring."""

    unwrapping: Unwrapping


class Elsewhere:
    """What one vault's unwrapping does not give is asked of the ``others``, in their order.

    Their keys stay in their own memory, and open cells; nothing is ever sealed with them here. That a key is
    wrong is what a vault says of each that is not its own: what another says besides counts, an outage first.
    """

    def __init__(self, own: Unwrapping, others: Callable[[], Sequence[HasUnwrapping]]) -> None:
        self._own = own
        self._rings = others

    def load(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Return the key of each of ``envelopes``, or why there is none."""
        others = self._others()
        if not others:
            return self._own.load(envelopes)
        wanted = by_question(envelopes)
        outcomes = _in_memory(others, wanted)
        outcomes |= self._own.load(each for question, each in wanted.items() if question not in outcomes)
        for other in others:
            missing = _missing(wanted, outcomes)
            if missing:
                _take(outcomes, other.load(missing))
        return outcomes

    async def aload(self, envelopes: Iterable[Envelope]) -> None:
        """:meth:`load` for async code, which reads the keys from memory afterwards."""
        others = self._others()
        if not others:
            await self._own.aload(envelopes)
            return
        wanted = by_question(envelopes)
        outcomes = _in_memory(others, wanted)
        await self._own.aload([each for question, each in wanted.items() if question not in outcomes])
        outcomes |= self._own.at_hand(question for question in wanted if question not in outcomes)
        for other in others:
            missing = _missing(wanted, outcomes)
            await other.aload(missing)
            _take(outcomes, other.at_hand(by_question(missing)))

    def prove(self, envelopes: Iterable[Envelope]) -> dict[Question, Outcome]:
        """Ask for the key of each of ``envelopes``, whatever is in memory."""
        wanted = by_question(envelopes)
        outcomes = self._own.prove(wanted.values())
        for other in self._others():
            missing = _missing(wanted, outcomes)
            if missing:
                _take(outcomes, other.prove(missing))
        return outcomes

    def _others(self) -> list[Unwrapping]:
        return [ring.unwrapping for ring in self._rings()]


def by_question(envelopes: Iterable[Envelope]) -> dict[Question, Envelope]:
    """Return one envelope for each wrapped key."""
    found: dict[Question, Envelope] = {}
    for each in envelopes:
        found.setdefault((each.commitment, each.key_reference), each)
    return found


def _in_memory(others: Sequence[Unwrapping], wanted: Iterable[Question]) -> dict[Question, Outcome]:
    found: dict[Question, Outcome] = {}
    for other in others:
        for question, outcome in other.at_hand(wanted).items():
            if isinstance(outcome, LoadedKey):
                found[question] = outcome
    return found


def _missing(wanted: dict[Question, Envelope], outcomes: dict[Question, Outcome]) -> list[Envelope]:
    return [each for question, each in wanted.items() if not isinstance(outcomes.get(question), LoadedKey)]


def _take(outcomes: dict[Question, Outcome], theirs: dict[Question, Outcome]) -> None:
    for question, outcome in theirs.items():
        known = outcomes.get(question)
        if isinstance(outcome, LoadedKey) or known is None or (is_outage(outcome) and not is_outage(known)):
            outcomes[question] = outcome
        elif isinstance(known, WrongKey):  # which a vault says of every key that is not its own
            outcomes[question] = _both(known, outcome) if isinstance(outcome, WrongKey) else outcome


def _both(one: WrongKey, other: WrongKey) -> WrongKey:
    error = WrongKey(f"{one} A vault that is read besides: {other}")
    error.__cause__ = other.__cause__
    return error
