"""What Django compares to find out that a field or a model was renamed."""

import sys
from types import FrameType
from typing import Any

from django.db.migrations.autodetector import MigrationAutodetector

# Both compare with ``==`` what deconstruct() gives for the old and the new field, and nothing else tells them
# from the comparison that finds altered fields.
_COMPARES_FOR_RENAMES = frozenset(
    (
        MigrationAutodetector.only_relation_agnostic_fields.__code__,
        MigrationAutodetector.create_renamed_fields.__code__,
    )
)
_AUTODETECTOR_DEPTH = 12


def looks_for_renames() -> bool:
    """Whether the migration autodetector asks, further up the stack, if two fields are one field renamed.

    What concerns cells alone must not count there: a rename that goes with a new ``label``, say, would become
    a removal and an addition, and the cells would be lost.
    """
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_AUTODETECTOR_DEPTH):
        if frame is None:
            return False
        if frame.f_code in _COMPARES_FOR_RENAMES:
            return True
        frame = frame.f_back
    return False


class AnyName(str):
    """A name in a migration that may have become another one since: equal to every such name."""

    __slots__ = ()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, AnyName) or str.__eq__(self, other)

    __hash__ = str.__hash__
