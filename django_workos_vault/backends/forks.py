"""What a forked process must not take over from its parent: sockets, and locks that nobody will release."""

import os
from typing import Protocol
from weakref import WeakSet


class Restartable(Protocol):
    """Something that begins anew in a forked process."""

    def _begin(self) -> None: ...


_watched: "WeakSet[Restartable]" = WeakSet()
_inherited: list[object] = []


def watch(restartable: Restartable) -> None:
    """Have ``restartable`` begin anew in every process forked from this one."""
    _watched.add(restartable)


def _begin_anew() -> None:
    for restartable in list(_watched):
        # Kept, not closed: a TLS farewell from here would end the parent's connections.
        _inherited.append(vars(restartable).copy())
        restartable._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
