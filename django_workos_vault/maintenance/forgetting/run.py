"""Carry a plan out: keys first, then what is in memory, then the objects in Vault."""

from collections.abc import Iterator
from datetime import UTC, datetime

from django_workos_vault.exceptions import VaultError
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.forgetting import objects
from django_workos_vault.maintenance.forgetting.objects import FoundObject, LeftObject
from django_workos_vault.maintenance.forgetting.plan import Plan, is_alone
from django_workos_vault.registry.destruction import FiledKey, FiledRoot, destroy_keys, destroy_roots


class Forgetting:
    """Destroys what ``plan`` found. Interrupted, another run destroys the rest.

    Data keys made since the plan was, by somebody who still writes for the customer, are destroyed too; root
    keys that somebody else has come to need since are kept.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.keys: list[FiledKey] = []
        self.roots: list[FiledRoot] = []
        self.deleted: list[FoundObject] = []
        self.left: list[LeftObject] = []
        self.destroyed_at: datetime | None = None
        #: why the run ended early
        self.stopped: VaultError | None = None

    def steps(self) -> Iterator[None]:
        """Do the work, and yield after each object."""
        subject = self.plan.subject
        self.keys = destroy_keys(subject.context, subject.aliases)
        alone = [root for root in self.plan.roots if is_alone(subject, root.vault)]
        self.plan.kept_roots += [root for root in self.plan.roots if root not in alone]
        self.roots = destroy_roots(alone)
        for alias in subject.aliases:
            vaults[alias].forget_keys()
        self.destroyed_at = datetime.now(UTC)
        for found in self.plan.objects:
            try:
                left = objects.delete(found, subject)
            except VaultError as exc:
                self.stopped = exc
                return
            if left is None:
                self.deleted.append(found)
            else:
                self.left.append(left)
            yield

    @property
    def finished(self) -> bool:
        """Whether everything that was planned is destroyed."""
        return self.destroyed_at is not None and len(self.deleted) == len(self.plan.objects)
