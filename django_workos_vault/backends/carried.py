"""Secrets on their way through the client: what frames hold instead of them, as no repr shows them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Carried:
    """One secret."""

    text: Any = field(repr=False)


class Arguments:
    """The arguments of one call, by name. Not a mapping: error reporters would look into one."""

    __slots__ = ("_given",)

    def __init__(self, **given: Any) -> None:
        self._given = given

    def __repr__(self) -> str:
        return f"<Arguments {', '.join(self._given)}>"

    def __getitem__(self, name: str) -> Any:
        """Return the argument, None where it was not given."""
        return self._given.get(name)

    def pass_to(self, function: Any, **more: Any) -> Any:
        """Call ``function`` with them, and with ``more``."""
        return function(**self._given, **more)
