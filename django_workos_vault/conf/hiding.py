"""Secrets among the settings, as values that do not show themselves."""

import re

#: Options that hold a secret. An address with a password in any other is taken for one as well.
SECRETS = frozenset({"api_key", "master_key", "rate_limit_store"})
_HIDDEN = "'********************'"


class SecretText(str):
    """A setting's text, which every page, report and traceback shows by this repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return _HIDDEN


class SecretBytes(bytes):
    """The same of bytes."""

    def __repr__(self) -> str:
        return _HIDDEN

    __str__ = __repr__


def hidden(name: object, value: object) -> object:
    """Return the ``value`` of the option ``name``; a secret as one that does not show itself."""
    if type(value) is bytes and name in SECRETS:
        return SecretBytes(value)
    if type(value) is str and (name in SECRETS or re.search("://[^/]*@", value)):
        return SecretText(value)
    return value
