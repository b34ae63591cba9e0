"""Which functions of the package a piece of work runs, as ``sys.setprofile`` sees them."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import django_workos_vault

PACKAGE = Path(django_workos_vault.__file__).parent


def called(work: Callable[[], object]) -> list[CodeType]:
    """Return the code of each call of a function of the package, in order."""
    seen: list[CodeType] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
            seen.append(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen


def names_called(work: Callable[[], object]) -> list[str]:
    """Return the names of those functions."""
    return [code.co_name for code in called(work)]
