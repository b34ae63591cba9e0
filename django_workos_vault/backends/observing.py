"""What a project has around each call of a vault: for a span, or a counter. It sees names, never values."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

logger = logging.getLogger("django_workos_vault")

#: Given the name of an operation, returns what is entered before the call and left after it.
Observer = Callable[[str], AbstractContextManager[Any]]


class Observed:
    """One call, for ``with``. An observer that fails is logged; the call goes on, and ends as it would."""

    __slots__ = ("_manager",)

    def __init__(self, observer: Observer | None, operation: str) -> None:
        self._manager: AbstractContextManager[Any] | None = None
        if observer is not None:
            try:
                manager = observer(operation)
                manager.__enter__()
                self._manager = manager
            except Exception:
                logger.exception("The OBSERVER of a vault failed before %s.", operation)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._manager is not None:
            try:
                self._manager.__exit__(kind, error, traceback)
            except Exception as exc:
                if exc is not error:
                    logger.exception("The OBSERVER of a vault failed after a call.")
