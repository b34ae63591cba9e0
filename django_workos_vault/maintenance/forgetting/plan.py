"""What forgetting a customer would do, and what would stay readable. Looking changes nothing."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.apps import apps

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.forgetting import columns, files, objects
from django_workos_vault.maintenance.forgetting.columns import Cells
from django_workos_vault.maintenance.forgetting.counts import Counts
from django_workos_vault.maintenance.forgetting.files import Progress
from django_workos_vault.maintenance.forgetting.objects import WIDER, FoundObject, LeftObject
from django_workos_vault.maintenance.forgetting.subject import Subject, as_text
from django_workos_vault.registry.destruction import (
    FiledKey,
    FiledRoot,
    filed,
    is_of,
    keys_of,
    other_contexts,
    roots_of,
)
from django_workos_vault.registry.rows import from_hex


@dataclass(slots=True)
class Plan:
    """``keys``, ``roots`` and ``objects`` are to be destroyed; all else is told.

    ``doubtful`` are records filed under the context that name another in clear, and ``kept_roots`` root keys
    that other contexts need. ``wider`` are contexts with the same items and others besides, with the number
    of their data keys, ``narrower`` those with only some; ``similar`` those that differ in case alone.
    ``known_names`` are the names of items that there are contexts of. ``memory`` is how long other processes
    may keep a key.
    """

    subject: Subject
    keys: list[FiledKey] = field(default_factory=list)
    doubtful: list[FiledKey] = field(default_factory=list)
    roots: list[FiledRoot] = field(default_factory=list)
    kept_roots: list[FiledRoot] = field(default_factory=list)
    wider: dict[str, int] = field(default_factory=dict)
    narrower: dict[str, int] = field(default_factory=dict)
    known_names: set[frozenset[str]] = field(default_factory=set)
    similar: list[str] = field(default_factory=list)
    cells: list[Cells] = field(default_factory=list)
    files: list[Counts] = field(default_factory=list)
    objects: list[FoundObject] = field(default_factory=list)
    left_objects: list[LeftObject] = field(default_factory=list)
    memory: timedelta = timedelta(0)

    @classmethod
    def of(cls, subject: Subject, progress: Progress) -> "Plan":
        """Look at the registry, every column, the files of the rows, and the objects in Vault.

        ``progress`` is told of the files, each of which may be a request. Raises VaultError where Vault
        cannot be asked: what cannot finish is not begun.
        """
        plan = cls(subject)
        for row in keys_of(subject.context):
            if row.vault in subject.aliases:
                (plan.keys if is_of(row, subject.context) else plan.doubtful).append(filed(row))
        for root in roots_of(subject.context):
            if root.vault in subject.aliases:
                (plan.roots if is_alone(subject, root.vault) else plan.kept_roots).append(root)
        plan._look_for_other_contexts()
        commitments = {key.commitment for key in plan.keys if from_hex(key.commitment)}
        plan.cells = list(columns.survey(subject, commitments))
        plan.files = list(files.survey(subject, commitments, progress))
        for found in objects.find(subject):
            if isinstance(found, FoundObject):
                plan.objects.append(found)
            else:
                plan.left_objects.append(found)
        policies = [vaults[alias].policy for alias in subject.aliases]
        plan.memory = max((p.cache_ttl + p.outage_grace for p in policies), default=timedelta(0))
        return plan

    @property
    def destroys_nothing(self) -> bool:
        """Whether there is nothing left that is ours to destroy."""
        return not (self.keys or self.roots or self.objects)

    @property
    def unseen_objects(self) -> list[LeftObject]:
        """Those of which Vault did not say whose they are."""
        return [left for left in self.left_objects if left.id and left.reason != WIDER]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known of the context."""
        return self.destroys_nothing and not (
            self.doubtful
            or self.kept_roots
            or self.wider
            or self.cells
            or self.files
            or any(left.id for left in self.left_objects)
        )

    def memories_end(self, destroyed_at: datetime) -> datetime:
        """Return when no other process has a key of the context in memory any more."""
        return destroyed_at + self.memory

    def _look_for_other_contexts(self) -> None:
        wider: Counter[str] = Counter()
        narrower: Counter[str] = Counter()
        similar = set()
        self.known_names = set(_declared_names(self.subject))
        for alias, context in other_contexts():
            if alias in self.subject.aliases:
                self.known_names.add(frozenset(context.items))
                if self.subject.is_wider(context):
                    wider[as_text(context)] += 1
                elif self.subject.is_narrower(context):
                    narrower[as_text(context)] += 1
                elif self.subject.differs_in_case(context):
                    similar.add(as_text(context))
        self.wider, self.narrower, self.similar = dict(wider), dict(narrower), sorted(similar)


def is_alone(subject: Subject, alias: str) -> bool:
    """Whether a vault has no key and no field of another context: its indexes are the customer's alone."""
    if any(other == alias and context != subject.context for other, context in other_contexts()):
        return False
    return all(_seals_only_for(subject, column) for column in _fields_of(alias))


def _declared_names(subject: Subject) -> Iterator[frozenset[str]]:
    for alias in subject.aliases:
        own = vaults[alias].key_context
        if own is not None:
            yield frozenset(own.items)
        for column in _fields_of(alias):
            if column.key_context:
                yield frozenset(column.key_context)


def _fields_of(alias: str) -> Iterator[VaultField]:
    for model in apps.get_models():
        for each in model._meta.local_concrete_fields:
            if isinstance(each, VaultField) and each.vault_alias == alias:
                yield each


def _seals_only_for(subject: Subject, column: VaultField) -> bool:
    try:
        return column.scheme.static_context() == subject.context
    except InvalidVaultConfiguration:
        return False
