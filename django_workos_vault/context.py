"""Key contexts: which KEKs wrap a data key."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256

from django_workos_vault.backends.base import validate_key_context


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
