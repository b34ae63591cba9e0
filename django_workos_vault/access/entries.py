"""What one access record says, and the bytes that its HMAC is made over."""

import getpass
import hmac
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC
from hashlib import sha256
from typing import Any, Self

from django.utils import timezone

from django_workos_vault.models import AccessChain, AccessRecord

#: The one row of ``AccessChain``.
ROW = 1

#: What comes before the first record.
NOTHING = ""

Key = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """Who did what to which row, why, and from where. ``action`` is one of ``AccessRecord.Action``.

    Never a value. Texts are cut to what the columns hold; what cannot be shown stands as ``?``.
    """

    action: str
    user_pk: str = ""
    username: str = ""
    model: str = ""
    object_pk: str = ""
    field: str = ""
    vault: str = ""
    reason: str = ""
    outcome: str = ""
    remote_address: str = ""
    view: str = ""

    @classmethod
    def of_process(cls, action: str, **told: str) -> Self:
        """Return an entry by whom the process runs as, and the command that it runs."""
        try:
            name = getpass.getuser()
        except (OSError, KeyError, ImportError):  # this user has no name
            name = ""
        return cls(action, username=name, view=" ".join(("manage.py", *sys.argv[1:2])), **told)

    def columns(self) -> dict[str, str]:
        """Return the values of the record's columns."""
        return {name: _as_kept(name, text) for name, text in asdict(self).items()}


_COLUMNS = tuple(Entry.__dataclass_fields__)


def _as_kept(name: str, text: object) -> str:
    longest: Any = getattr(AccessRecord._meta.get_field(name), "max_length", None)
    # Of a chain of addresses, the client writes the beginning, and its own proxies the end.
    kept = str(text)[-longest:] if name == "remote_address" else str(text)[:longest]
    return "".join(each if each.isprintable() else "?" for each in kept)


def mac_of(key: bytes, record: AccessRecord) -> str:
    """Return the HMAC-SHA-256 of a record, in hex, over all of its columns but ``mac``."""
    told = [getattr(record, name) for name in _COLUMNS]
    return _hmac(key, ["record", record.sequence, moment_of(record), *told, record.previous])


def moment_of(record: AccessRecord) -> str:
    """Return when it was, in UTC and to the microsecond, as ISO 8601 has it."""
    moment: Any = record.at
    if timezone.is_naive(moment):  # the column of a project without USE_TZ holds local times
        moment = timezone.make_aware(moment, timezone.get_default_timezone())
    return str(moment.astimezone(UTC).isoformat())


def proof_of(key: bytes, chain: AccessChain) -> str:
    """Return the HMAC-SHA-256 of both ends, in hex."""
    return _hmac(key, ["ends", chain.sequence, chain.mac, chain.pruned_sequence, chain.pruned_mac])


def same(one: object, other: str) -> bool:
    """Whether a stored HMAC is the one that was computed."""
    return hmac.compare_digest(str(one).encode(), other.encode())


def _hmac(key: bytes, parts: list[Any]) -> str:
    # JSON keeps the parts apart, whatever they hold: bytes too, which SQLite keeps in any column.
    text = json.dumps(parts, default=lambda part: [repr(part)])
    return hmac.new(key, text.encode(), sha256).hexdigest()
