"""What the key ring asks of a registry of data keys and root keys, and what a registry answers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True)
class RootKeyRecord:
    """What the database remembers of the root key of one vault: everything but the key.

    ``proof`` (32 bytes) can only be made with the key itself and ties it to its vault and version. Where
    ``carried`` has bytes, the root key came from another vault, and is sealed with what ``wrapped`` wraps.
    """

    vault: str
    proof: bytes
    key_id: str
    wrapped: bytes
    carried: bytes = b""


class RootKeyStore(Protocol):
    """Keeps one root key per version, the same for all processes."""

    def get(self, version: int) -> RootKeyRecord | None:
        """Return the record of ``version``."""

    def add(
        self, version: int, context: KeyContext, record: RootKeyRecord, proofs: Mapping[str, bytes]
    ) -> RootKeyRecord:
        """Store ``record``; return the winner's when another process was faster.

        ``proofs`` has, for each vault that is read too, the proof that this root key would have there. Where
        those have root keys, and none of them this one, the record of the first is returned, and nothing
        stored. Nobody stores a root key of the same version, for a vault that reads others, between this look
        and the commit.
        """

    def vaults_with(self, version: int) -> list[str]:
        """Return the names of all vaults that have a record of ``version``."""

    def when_committed(self, then: Callable[[], None]) -> None:
        """Call ``then`` once the transaction under way has committed; at once when there is none."""

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        """Whether ``then`` is still to be called by this thread's transaction, not undone so far."""
