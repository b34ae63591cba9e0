"""The same call for many arguments, a few at a time, in threads or in tasks.

One argument's failure is returned in its place and does not fail the others. But once the vault itself
cannot be used (unreachable, over its rate limit, API key refused), the calls not yet begun get that same
error without a request: a thousand keys must not take a thousand deadlines to fail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django_workos_vault.exceptions import (
    VaultAuthenticationError,
    VaultError,
    VaultRateLimited,
    VaultUnavailable,
)

CONCURRENCY = 8
_VAULT_UNUSABLE = (VaultUnavailable, VaultRateLimited, VaultAuthenticationError)

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def run(call: Callable[[Argument], Result], arguments: Sequence[Argument]) -> list[Result | VaultError]:
    """Return ``call``'s result, or the VaultError it raised, for each of ``arguments``, in their order."""
    unusable: list[VaultError] = []

    def one(argument: Argument) -> Result | VaultError:
        if unusable:
            return unusable[0]
        try:
            return call(argument)
        except VaultError as error:
            if isinstance(error, _VAULT_UNUSABLE):
                unusable.append(error)
            return error

    if len(arguments) < 2:
        return [one(argument) for argument in arguments]
    with ThreadPoolExecutor(min(CONCURRENCY, len(arguments)), "vault-batch") as pool:
        return list(pool.map(one, arguments))


async def arun(
    call: Callable[[Argument], Awaitable[Result]], arguments: Sequence[Argument]
) -> list[Result | VaultError]:
    """:func:`run` for async code: ``call`` is awaited."""
    unusable: list[VaultError] = []
    turns = asyncio.Semaphore(CONCURRENCY)

    async def one(argument: Argument) -> Result | VaultError:
        async with turns:
            if unusable:
                return unusable[0]
            try:
                return await call(argument)
            except VaultError as error:
                if isinstance(error, _VAULT_UNUSABLE):
                    unusable.append(error)
                return error

    return list(await asyncio.gather(*(one(argument) for argument in arguments)))
