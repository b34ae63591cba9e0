"""The same call for many arguments, a few at a time, in threads or in tasks.

One argument's failure is returned in its place and does not fail the others. But once the vault itself
cannot be used (unreachable, over its rate limit, API key refused), the calls not yet begun get that same
error without a request: a thousand keys must not take a thousand deadlines to fail. Nor must a thousand
that Vault fails with one by one, so of those it takes eight, or one where nothing else was answered.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django_workos_vault.exceptions import VaultError, VaultUnavailable, is_outage

CONCURRENCY = 8

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def run(call: Callable[[Argument], Result], arguments: Sequence[Argument]) -> list[Result | VaultError]:
    """Return ``call``'s result, or the VaultError it raised, for each of ``arguments``, in their order."""
    outcomes: list[Result | VaultError] = []

    def one(argument: Argument) -> Result | VaultError:
        if unusable := down(outcomes):
            return unusable
        outcome: Result | VaultError
        try:
            outcome = call(argument)
        except VaultError as error:
            outcome = error
        outcomes.append(outcome)
        return outcome

    if len(arguments) < 2:
        return [one(argument) for argument in arguments]
    with ThreadPoolExecutor(min(CONCURRENCY, len(arguments)), "vault-batch") as pool:
        return list(pool.map(one, arguments))


async def arun(
    call: Callable[[Argument], Awaitable[Result]], arguments: Sequence[Argument]
) -> list[Result | VaultError]:
    """:func:`run` for async code: ``call`` is awaited."""
    outcomes: list[Result | VaultError] = []
    turns = asyncio.Semaphore(CONCURRENCY)

    async def one(argument: Argument) -> Result | VaultError:
        async with turns:
            if unusable := down(outcomes):
                return unusable
            outcome: Result | VaultError
            try:
                outcome = await call(argument)
            except VaultError as error:
                outcome = error
            outcomes.append(outcome)
            return outcome

    return list(await asyncio.gather(*(one(argument) for argument in arguments)))


def down(outcomes: Sequence[Result | VaultError]) -> VaultError | None:
    """Return why Vault is not to be asked for more, if one of ``outcomes`` tells."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, VaultUnavailable)]
    if len(failed) >= CONCURRENCY or (failed and len(failed) == len(outcomes)):
        return _not_asked(failed[0])
    return next(
        (outcome for outcome in outcomes if isinstance(outcome, VaultError) and is_outage(outcome)), None
    )


def _not_asked(error: VaultUnavailable) -> VaultUnavailable:
    told = copy.copy(error)
    told.was_asked = False
    return told
