"""The objects that Vault keeps under a customer's key context: found, and deleted."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    VaultError,
    VaultNotFound,
    VaultRequestError,
    is_outage,
)
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_value import StoredObject
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.forgetting.subject import Subject, context_for

#: Why an object stays whose key context has other items besides.
WIDER = "wider"
_PAGE = 100
_ROWS_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object under the context. ``column`` has the row that refers to it, where one does."""

    vault: str
    id: str
    name: str
    column: str = ""


@dataclass(frozen=True, slots=True)
class LeftObject:
    """An object that stays, and why: ``reason`` is an error's class, or :data:`WIDER`.

    Without an ``id`` it stands for all objects of a vault that does not list them.
    """

    vault: str
    id: str
    reason: str
    message: str


def find(subject: Subject) -> Iterator[FoundObject | LeftObject]:
    """Yield the objects of each vault whose key context is the subject's, whoever made them.

    Vault's list does not tell contexts, so each object is asked for, but for those that rows of other
    contexts prove to be theirs. Raises VaultError in an outage.
    """
    columns, others = _referred(subject)
    for alias in sorted(subject.aliases):
        try:
            summaries = list(vaults[alias].backend.iter_objects(limit=_PAGE))
        except VaultRequestError as exc:  # a backend that keeps no objects
            yield LeftObject(alias, "", type(exc).__name__, str(exc))
            continue
        for summary in summaries:
            found = FoundObject(alias, summary.id, summary.name, columns.get((alias, summary.id), ""))
            if (alias, summary.id) not in others:
                described = _described(found)
                if isinstance(described, LeftObject):
                    yield described
                elif described == subject.context:
                    yield found
                elif subject.is_wider(described):
                    yield LeftObject(alias, summary.id, WIDER, "Its key context has other items besides.")


def delete(found: FoundObject, subject: Subject) -> LeftObject | None:
    """Delete one, if it is of the context still; return why not. Raises VaultError in an outage."""
    described = _described(found)
    if isinstance(described, LeftObject):
        return described
    if described == subject.context:
        try:
            vaults[found.vault].backend.delete_object(found.id)
        except VaultNotFound:
            return None  # another run was faster
        except VaultError as exc:
            return _left(found, exc)
    return None


def _described(found: FoundObject) -> KeyContext | LeftObject | None:
    """Return the key context of an object, None for one that is gone, or why Vault does not say."""
    try:
        described = vaults[found.vault].backend.describe_object(found.id)
        return KeyContext(described.metadata.context)
    except VaultNotFound:
        return None
    except InvalidVaultConfiguration:
        return None  # a context that no field has
    except VaultError as exc:
        return _left(found, exc)


def _left(found: FoundObject, error: VaultError) -> LeftObject:
    if is_outage(error):
        raise error
    return LeftObject(found.vault, found.id, type(error).__name__, str(error))


def _referred(subject: Subject) -> tuple[dict[tuple[str, str], str], set[tuple[str, str]]]:
    """Return the columns whose rows refer to objects of the context, and the objects of other contexts."""
    columns: dict[tuple[str, str], str] = {}
    others: set[tuple[str, str]] = set()
    for model, using in subject.models():
        for field in subject.fields(model, ObjectColumn):
            if field.vault_alias not in subject.aliases:  # values stay in the vault that took them
                continue
            rows: QuerySet[Any] = cells.rows([field], using).exclude(**{field.name: None})
            for row in rows.iterator(_ROWS_AT_A_TIME):
                stored = field.stored_in(row)
                context = context_for(field, row)
                if stored is None or context is None:
                    continue
                name = field.vault_alias, stored.reference.id
                if context == subject.context:
                    columns[name] = str(field)
                elif not subject.is_wider(context) and _is_proven(stored, row):
                    others.add(name)
    return columns, others


def _is_proven(stored: StoredObject, row: Model) -> bool:
    """Whether the reference was made for the row: then its object is of the row's context, and no other."""
    try:
        stored.prove(row)
    except (EnvelopeError, InvalidVaultConfiguration):
        return False
    except VaultError as exc:
        if is_outage(exc):
            raise
        return False
    return True
