"""Plaintext stays out of error reports, which show the locals of every frame of a traceback."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path
from traceback import clear_frames
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_OURS = f"{Path(__file__).parent}/"


def leaves_no_locals(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make ``function``, and what it calls, forget their locals when it raises. Line numbers stay.

    Django's ``sensitive_variables`` would hide them from Django's reports only, and not under ``DEBUG``.
    """

    if iscoroutinefunction(function):

        @wraps(function)
        async def aforgetful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
            try:
                return await function(*args, **kwargs)
            except Exception as exc:
                forget_locals(exc)
                del args, kwargs
                raise

        return aforgetful  # type: ignore[return-value]

    @wraps(function)
    def forgetful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            forget_locals(exc)
            del args, kwargs
            raise

    return forgetful


def forget_locals(error: BaseException) -> None:
    """Make every function that has returned by raising ``error``, or what it came of, forget its locals.

    Of errors that it came of, only what was called from this package: other frames are not ours to clear.
    """
    clear_frames(error.__traceback__)
    seen, waiting = {id(error)}, [error.__cause__, error.__context__]
    while waiting:
        origin = waiting.pop()
        if origin is not None and id(origin) not in seen:
            seen.add(id(origin))
            waiting += [origin.__cause__, origin.__context__]
            clear_frames(_from_ours(origin.__traceback__))


def _from_ours(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and not traceback.tb_frame.f_code.co_filename.startswith(_OURS):
        traceback = traceback.tb_next
    return traceback
