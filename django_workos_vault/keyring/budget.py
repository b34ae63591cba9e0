"""This process's share of each key's message budget, and whether the registry's side of it has committed."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count, islice

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import VaultError, WrongKey
from django_workos_vault.keyring.policy import Counters, DataKeyPolicy
from django_workos_vault.keyring.records import Addition, KeyRecord, Lease, Registry

#: Messages a process takes from a key's budget at a time once it writes much; it begins with a thousandth of
#: that and quadruples, so that a process that seals one value does not use up a block.
LARGEST_LEASE = 2**20
FIRST_LEASE = 2**10


class Budget:
    """One process's right to seal with one key: how many messages, until when, and on what leases.

    ``retires_at`` is on the key ring's clock. A budget holds no key material.
    """

    __slots__ = (
        "commitment",
        "context",
        "exhausted",
        "gone",
        "granted",
        "leases",
        "record",
        "retires_at",
        "settled",
        "used",
        "wrapped",
    )

    def __init__(
        self, context: KeyContext, record: KeyRecord, retires_at: float, lease: Lease, older: "list[Lease]"
    ) -> None:
        self.context = context
        self.record = record
        self.commitment = record.commitment
        #: the wrapped key that new cells carry; a key loaded from some cell may come with another
        self.wrapped = record.wrapped
        self.retires_at = retires_at
        self.granted = lease.messages
        self.leases = [*older, lease]
        self.used = count()  # next() is atomic; += is not
        self.exhausted = False
        #: whether the key was destroyed while a lease was not settled
        self.gone = False
        self.settled = False
        self.settle()

    def take(self) -> bool:
        """Count one message; False when the budget is used up."""
        if next(self.used) < self.granted:
            return True
        self.exhausted = True
        return False

    def take_up_to(self, messages: int) -> int:
        """Count ``messages``, one at least; return how many of them are within the budget."""
        beyond = next(islice(self.used, messages - 1, None)) + 1 - self.granted
        if beyond <= 0:
            return messages
        self.exhausted = True
        return max(0, messages - beyond)

    def settle(self) -> int:
        """Let go of leases that have committed or were undone; return the messages of the undone ones."""
        open_leases = [lease for lease in self.leases if not lease.receipt.committed()]
        self.leases = [lease for lease in open_leases if lease.receipt.pending()]
        self.settled = not self.leases
        return sum(lease.messages for lease in open_leases) - sum(lease.messages for lease in self.leases)

    def stands(self) -> bool:
        """Whether nothing was undone: every lease has committed, or its transaction goes on."""
        return self.settled or all(lease.receipt.pending() for lease in self.leases)

    def brings_record(self) -> bool:
        """Whether the record itself was written with a lease that a rollback could undo, or has undone."""
        return any(lease.with_record and not lease.receipt.committed() for lease in self.leases)

    def next_lease(self) -> int:
        """Messages to ask for when these are used up."""
        return min(4 * self.granted, LARGEST_LEASE)

    def commits_with(self, database: str) -> bool:
        """Whether a lease, and with it the record, commits together with this thread's ``database``."""
        return any(lease.receipt.commits_with(database) for lease in self.leases)


class Budgets:
    """The budgets of one process, by the digest of their key context. No key material is in here."""

    def __init__(
        self, registry: Registry, policy: DataKeyPolicy, clock: Callable[[], float], counters: Counters
    ) -> None:
        self._registry = registry
        self._policy = policy
        self._clock = clock
        self._counters = counters
        self._budgets: dict[str, Budget] = {}
        self.get = self._budgets.get
        #: by commitment: budgets whose record, or lease, a rollback could still undo
        self.unsettled: dict[bytes, Budget] = {}

    def may_seal(self, digest: str, record: KeyRecord) -> bool:
        """Whether the key of ``record`` is young enough and has messages left, here or in the registry.

        True for a record that was changed: what is wrong with it is said when its key is loaded.
        """
        if not record.is_sound:
            return True
        if datetime.now(UTC) - record.created_at >= self._policy.rotate_after:
            return False
        budget = self._of(digest, record)
        return record.messages < self._policy.max_messages or (budget is not None and not budget.exhausted)

    def open(self, records: Mapping[KeyContext, KeyRecord]) -> dict[str, Budget]:
        """Return a budget for each record whose key has messages left, leasing more where none are here."""
        budgets: dict[str, Budget] = {}
        spent: list[tuple[KeyContext, KeyRecord, int, list[Lease]]] = []
        for context, record in records.items():
            budget = self._of(context.digest, record)
            if budget is None:
                spent.append((context, record, FIRST_LEASE, []))
            elif budget.exhausted:
                spent.append((context, record, budget.next_lease(), budget.leases))
            else:
                self.restore(budget)
                budgets[context.digest] = budget
        leases = self._registry.lease(
            [(record, messages) for _, record, messages, _ in spent], self._policy.max_messages
        )
        for (context, record, _, older), lease in zip(spent, leases, strict=True):
            if lease is not None:
                budgets[context.digest] = self._entered(context, record, lease, older)
        return budgets

    def add(
        self, records: Mapping[KeyContext, KeyRecord]
    ) -> dict[str, Budget | KeyRecord | VaultError | WrongKey]:
        """Register new keys; return a budget for each, or the winner's record where another was faster.

        An error stands for a key that cannot be registered.
        """
        messages = min(FIRST_LEASE, self._policy.max_messages)
        additions = [Addition(context, record, messages) for context, record in records.items()]
        return {
            addition.context.digest: (
                self._entered(addition.context, addition.record, answer, [])
                if isinstance(answer, Lease)
                else answer
            )
            for addition, answer in zip(additions, self._registry.add(additions), strict=True)
        }

    def restore(self, budget: Budget) -> None:
        """Write to the registry again what a rollback has undone since.

        Raises WrongKey, and forgets ``budget``, where the key was destroyed meanwhile.
        """
        if budget.settled:
            return
        with_record = budget.brings_record()
        undone = budget.settle()
        if undone or budget.gone:
            self._hold(budget, self._restored(budget, undone, with_record))
        elif budget.settled:
            self.unsettled.pop(budget.commitment, None)

    def secure(self, commitment: bytes, database: str) -> None:
        """Make sure that a key's record commits no later than the cell about to be written to ``database``.

        For cells that refer to the registry. Raises WrongKey when that cannot be promised.
        """
        budget = self.unsettled.get(commitment)
        if budget is None or (budget.stands() and budget.commits_with(database)):
            return
        self.restore(budget)
        if budget.settled or budget.commits_with(database):
            return
        lease = self._restored(budget, 0, budget.brings_record())
        self._hold(budget, lease)
        if not (lease.receipt.committed() or lease.receipt.commits_with(database)):
            raise WrongKey(
                "The data key of a cell that refers to the registry was registered inside a transaction "
                f"which does not commit together with that of database {database!r}: a rollback would "
                "leave the cell without its key. Write the row outside of the registry database's atomic() "
                "block, or keep both in one database."
            )

    def forget(self) -> None:
        """Begin with no leases."""
        self._budgets.clear()
        self.unsettled.clear()

    def _restored(self, budget: Budget, messages: int, with_record: bool) -> Lease:
        try:
            return self._registry.restore(budget.context, budget.record, messages, with_record=with_record)
        except WrongKey:
            if self._budgets.get(budget.context.digest) is budget:
                del self._budgets[budget.context.digest]
            budget.gone, budget.settled = True, False
            raise

    def _of(self, digest: str, record: KeyRecord) -> Budget | None:
        budget = self._budgets.get(digest)
        return budget if budget is not None and budget.commitment == record.commitment else None

    def _entered(self, context: KeyContext, record: KeyRecord, lease: Lease, older: list[Lease]) -> Budget:
        self._counters.leases += 1
        age = (datetime.now(UTC) - record.created_at).total_seconds()
        retires_at = self._clock() + self._policy.rotate_after.total_seconds() - age
        budget = Budget(context, record, retires_at, lease, older)
        if not budget.settled:
            self.unsettled[budget.commitment] = budget
        self._budgets.pop(context.digest, None)
        while len(self._budgets) >= self._policy.cache_size:
            self._budgets.pop(next(iter(self._budgets)), None)
        self._budgets[context.digest] = budget
        return budget

    def _hold(self, budget: Budget, lease: Lease) -> None:
        budget.leases.append(lease)
        budget.settle()
        if not budget.settled:
            self.unsettled[budget.commitment] = budget
