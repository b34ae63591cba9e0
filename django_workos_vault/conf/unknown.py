"""A name that a setting does not know is refused, with the one that was meant."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from django_workos_vault.exceptions import InvalidVaultConfiguration


def refuse_unknown(where: str, given: Mapping[Any, Any], known: Collection[str]) -> None:
    unknown = sorted(set(given) - set(known), key=str)
    if unknown:
        raise InvalidVaultConfiguration(
            f"{where} has an unknown option {unknown[0]!r}.{nearest(unknown[0], known)} "
            f"Known: {', '.join(sorted(known))}."
        )


def nearest(name: object, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    similar = get_close_matches(str(name).lower(), by_lower, n=1)
    return f" Did you mean {by_lower[similar[0]]!r}?" if similar else ""
