"""Key contexts: which KEKs wrap a data key."""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256

from django_workos_vault.backends.key_context import validate_key_context
from django_workos_vault.exceptions import UndeclaredKeyContext


class KeyContext:
    """A validated key context with its digest, which names it in the registry and in caches.

    ``items`` is the map of strings sent to Vault; ``digest`` is the SHA-256, in hexadecimal, of its
    canonical JSON form (sorted names, no white space). Two contexts are equal when their digests are.
    """

    __slots__ = ("digest", "items")

    def __init__(self, items: Mapping[str, str]) -> None:
        self.items = validate_key_context(items)
        canonical = json.dumps(self.items, sort_keys=True, separators=(",", ":"))
        self.digest = sha256(canonical.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyContext) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<KeyContext {', '.join(sorted(self.items))} {self.digest[:8]}>"


@lru_cache(maxsize=4096)
def key_context(*items: tuple[str, str]) -> KeyContext:
    """Return the :class:`KeyContext` of ``items``, the same object for the same items while it is cached."""
    return KeyContext(dict(items))


class DeclaredContexts:
    """The values that items of key contexts may have, by the item's name: ``DECLARED_CONTEXTS``.

    Vault wraps under a key of its own where a context is nobody's, and says nothing. Only whoever knows the
    customers can tell a misspelt id from a new one. Items that are not named here may have any value.
    """

    def __init__(self, declared: Mapping[str, Callable[[str], bool]]) -> None:
        self._declared = dict(declared)

    def __bool__(self) -> bool:
        return bool(self._declared)

    def fault(self, context: KeyContext) -> UndeclaredKeyContext | None:
        """Return why nothing is to be sealed under ``context``, without its values, or None."""
        for name, is_declared in self._declared.items():
            if name in context.items and not is_declared(context.items[name]):
                return UndeclaredKeyContext(
                    f"Key context item {name!r} has a value that DECLARED_CONTEXTS does not hold, so nothing "
                    "is sealed under it: Vault would take a key of WorkOS's own, and the customer could not "
                    "withdraw it. Is the value misspelt?"
                )
        return None

    def check(self, context: KeyContext) -> None:
        """Raise UndeclaredKeyContext when nothing is to be sealed under ``context``."""
        if fault := self.fault(context):
            raise fault
