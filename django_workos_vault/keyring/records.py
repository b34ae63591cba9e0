"""What the key ring asks of a registry of data keys, and what a registry answers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django_workos_vault.backends.arguments import MAX_WRAPPED_BYTES
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import COMMITMENT_BYTES
from django_workos_vault.exceptions import VaultError, WrongKey

#: A key from later than that would never be replaced.
_CLOCKS_DIFFER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What the registry remembers of a data key: everything but the key.

    ``commitment`` (32 bytes) names it; ``proof`` (32 bytes) can only be made with the key itself and ties it
    to its vault and context, so that nobody who can merely write the table can redirect writes to a key of
    another context. ``generation`` counts the keys of one context; ``messages`` are those leased so far.
    """

    commitment: bytes
    proof: bytes
    key_id: str
    wrapped: bytes
    created_at: datetime
    generation: int
    messages: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether each column holds what it could hold, as far as can be told without the key."""
        return (
            len(self.commitment) == len(self.proof) == COMMITMENT_BYTES
            and 0 < len(self.wrapped) <= MAX_WRAPPED_BYTES
            and self.generation > 0
            and self.messages >= 0
            and self.created_at <= datetime.now(UTC) + _CLOCKS_DIFFER
        )


class Receipt(Protocol):
    """Whether what was written to the registry can still be undone by the transaction it was written in."""

    def committed(self) -> bool:
        """It can not."""

    def pending(self) -> bool:
        """Not committed yet, and not rolled back, by whichever thread."""

    def commits_with(self, database: str) -> bool:
        """Whether it is pending in this thread's transaction of ``database``: both commit, or neither."""


@dataclass(frozen=True, slots=True)
class Lease:
    """``messages`` taken from a key's budget, as far as the registry's transaction goes.

    ``with_record`` says that the key's record was written with it, and falls with it.
    """

    messages: int
    receipt: Receipt
    with_record: bool = False


@dataclass(frozen=True, slots=True)
class Addition:
    """A key to register, and the messages leased from it at once."""

    context: KeyContext
    record: KeyRecord
    messages: int


class Registry(Protocol):
    """Shares the current wrapped data key of each context between processes."""

    def current(self, contexts: Iterable[KeyContext]) -> dict[str, KeyRecord]:
        """Return the newest record of each context that has one, by the context's digest.

        A record that cannot be read is not sound, and fails nobody else.
        """

    def add(self, additions: Sequence[Addition]) -> list[Lease | KeyRecord | VaultError | WrongKey]:
        """Store each record with its lease; where another was faster, return the winner's record instead.

        Where a record cannot be stored, return an error that says why.
        """

    def lease(self, wanted: Sequence[tuple[KeyRecord, int]], limit: int) -> list[Lease | None]:
        """Take up to so many messages from each key's budget of ``limit``; None where nothing is left."""

    def restore(self, context: KeyContext, record: KeyRecord, messages: int, *, with_record: bool) -> Lease:
        """Write again what a rollback undid: ``messages`` leased, and ``with_record`` the record.

        Raises WrongKey where the record is gone and was not this transaction's: somebody destroyed it.
        """

    def joins_transaction(self) -> bool:
        """Whether what is added or leased now becomes part of a transaction that the caller holds open."""

    def find(self, commitments: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the wrapped keys of those commitments that are registered."""
