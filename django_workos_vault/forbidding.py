"""Where no cell may be opened: in ``decryption_forbidden()``, and in a shell before ``justified()``."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import Any

from django_workos_vault.exceptions import DecryptionForbidden

#: False until anything in this process is forbidden to decrypt: asking a context variable takes longer.
in_use = False

#: The vaults whose cells may not be opened in this thread or task.
forbidden_vaults: ContextVar[frozenset[str]] = ContextVar("forbidden_vaults", default=frozenset())

#: The vaults that this process opens nothing of, unless it is justified.
wanting_justification: set[str] = set()

#: Those that have been, in this thread or task.
_justified_vaults: ContextVar[frozenset[str]] = ContextVar("justified_vaults", default=frozenset())


def check_opening_allowed(vault: str) -> None:
    """Raise DecryptionForbidden in :class:`ForbidDecryption`, and where a justification is wanted."""
    if vault in forbidden_vaults.get():
        raise DecryptionForbidden(f"Opening cells of vault {vault!r} is forbidden here.")
    if vault in wanting_justification and vault not in _justified_vaults.get():
        raise DecryptionForbidden(
            f"This shell opens nothing of vault {vault!r} without a reason, which goes on record: "
            f'with vaults[{vault!r}].justified("ticket 4711"): ...'
        )


def want_justification(vault: str, wanted: bool = True) -> None:
    """From now on, open nothing of ``vault`` in this process outside of :func:`justified`; or do again."""
    global in_use
    in_use = True
    (wanting_justification.add if wanted else wanting_justification.discard)(vault)


@contextmanager
def justified(vault: str) -> Iterator[None]:
    """Let this thread or task open cells of ``vault`` in the block."""
    token = _justified_vaults.set(_justified_vaults.get() | {vault})
    try:
        yield
    finally:
        _justified_vaults.reset(token)


class ForbidDecryption:
    """A context manager and a decorator of functions and coroutine functions.

    A decorated generator raises TypeError: its body runs after the call that is decorated, and would run
    unguarded.
    """

    def __init__(self, vault: str) -> None:
        self._vault = vault
        self._tokens: list[Token[frozenset[str]]] = []

    def __enter__(self) -> None:
        global in_use
        in_use = True
        self._tokens.append(forbidden_vaults.set(forbidden_vaults.get() | {self._vault}))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        forbidden_vaults.reset(self._tokens.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("decryption_forbidden() cannot decorate a generator: use it inside, as 'with'.")
        vault = self._vault

        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with ForbidDecryption(vault):
                return function(*args, **kwargs)

        @wraps(function)
        async def aguarded(*args: Any, **kwargs: Any) -> Any:
            with ForbidDecryption(vault):
                return await function(*args, **kwargs)

        return aguarded if inspect.iscoroutinefunction(function) else guarded
