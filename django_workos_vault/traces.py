"""Plaintext stays out of error reports, which show the locals of every frame of a traceback."""

from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def leaves_no_locals(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Make ``function``, and what it calls, forget their locals when it raises. Line numbers stay.

    Django's ``sensitive_variables`` would hide them from Django's reports only, and not under ``DEBUG``.
    """

    @wraps(function)
    def forgetful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except Exception as exc:
            forget_locals(exc)
            del args, kwargs
            raise

    return forgetful


def forget_locals(error: BaseException | None) -> None:
    """Make every function that has returned by raising ``error``, or what caused it, forget its locals."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__
