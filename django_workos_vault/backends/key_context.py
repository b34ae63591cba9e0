"""A key context as Vault takes one (``CreateDataKeyRequest.context`` of the API description)."""

import re
from collections.abc import Mapping

from django_workos_vault.exceptions import InvalidVaultConfiguration

MAX_CONTEXT_ITEMS = 10
MAX_CONTEXT_VALUE_LENGTH = 500

#: what no database stores as text
_NO_TEXT = re.compile("[\\x00\\ud800-\\udfff]")


def validate_key_context(context: object) -> dict[str, str]:
    """Return ``context`` as a dict if Vault would take it: 1 to 10 items, strings of at most 500 characters.

    Raises InvalidVaultConfiguration, naming the key at fault but never a value, which may be personal.
    Source: the API description, ``CreateDataKeyRequest.context``. An empty context names no KEK.
    """
    if not isinstance(context, Mapping):
        raise InvalidVaultConfiguration(
            f"A key context is a mapping of strings, not {type(context).__name__}."
        )
    if not context:
        raise InvalidVaultConfiguration("A key context needs at least one item: each item names a key.")
    if len(context) > MAX_CONTEXT_ITEMS:
        raise InvalidVaultConfiguration(
            f"A key context has at most {MAX_CONTEXT_ITEMS} items, this one has {len(context)}."
        )
    for name, value in context.items():
        if not isinstance(name, str):
            raise InvalidVaultConfiguration(f"A key context's names are strings, not {type(name).__name__}.")
        if not isinstance(value, str):
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} must be a string, not {type(value).__name__}."
            )
        if not value:
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} is empty: it would name a shared key."
            )
        if _NO_TEXT.search(name + value):
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} holds a zero byte or half a character: it names no key."
            )
        if len(value) > MAX_CONTEXT_VALUE_LENGTH:
            raise InvalidVaultConfiguration(
                f"Key context item {name!r} has {len(value)} characters; Vault takes at most "
                f"{MAX_CONTEXT_VALUE_LENGTH}."
            )
    return dict(context)
