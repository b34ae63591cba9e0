"""Whom to forget: a key context, and which rows are sealed under it, as far as the database can tell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import router
from django.db.models import Model, Q

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.tables import Tables


@dataclass(frozen=True, slots=True)
class Subject:
    """A key context in the vaults ``aliases``. ``database`` is where rows are looked for, None for where each
    model is written."""

    context: KeyContext
    aliases: frozenset[str]
    database: str | None = None

    def __str__(self) -> str:
        return as_text(self.context)

    @property
    def names(self) -> frozenset[str]:
        """The names of the items."""
        return frozenset(self.context.items)

    def is_wider(self, context: KeyContext | None) -> bool:
        """Whether ``context`` has all of these items, and others besides."""
        return (
            context is not None
            and context != self.context
            and self.context.items.items() <= context.items.items()
        )

    def is_narrower(self, context: KeyContext) -> bool:
        """Whether ``context`` has only some of these items."""
        return context.items.items() < self.context.items.items()

    def differs_in_case(self, context: KeyContext) -> bool:
        """Whether ``context`` is this one but for upper and lower case, or spaces around."""
        return context != self.context and _folded(context) == _folded(self.context)

    def models(self) -> Iterator[tuple[type[Model], str]]:
        """Yield every model that has a table, with the database that it is looked for in."""
        tables: dict[str, Tables] = {}
        for model in apps.get_models():
            using = self.database or router.db_for_write(model)
            if using not in tables:
                tables[using] = Tables(using)
            if tables[using].have(model):
                yield model, using

    def fields(self, model: type[Model], *kinds: type[Any]) -> list[Any]:
        """Return the fields of ``kinds`` in the model's own table whose values one of the vaults may seal.

        Those of a vault that reads it are among them: while columns move, keys of both are in use.
        """
        return [
            field
            for field in model._meta.local_concrete_fields
            if isinstance(field, kinds) and self._may_have_sealed(field.vault_alias)
        ]

    def _may_have_sealed(self, alias: str) -> bool:
        if alias in self.aliases:
            return True
        try:
            return not self.aliases.isdisjoint(vaults[alias].also_reads)
        except InvalidVaultConfiguration:  # which the system checks tell
            return False

    def sealed(self, model: type[Model]) -> list[Any]:
        """Return those of every kind: columns, objects and files."""
        return self.fields(model, VaultField, EncryptedFileField)

    def rows_of(self, fields: Iterable[Any]) -> Q | None:
        """Return a condition that no row fails which one of ``fields`` seals under these items, alone or with
        others. It is empty where only Python can tell.

        Rows that meet it need not be of the context: a database compares texts its own way. None where the
        fields seal no row so.
        """
        conditions = [condition for each in fields if (condition := self._rows_of(each)) is not None]
        if not conditions:
            return None
        return reduce(or_, conditions) if all(conditions) else Q()

    def has(self, row: Model, fields: Iterable[Any]) -> bool:
        """Whether one of ``fields`` seals the row's value under the context."""
        return any(context_for(each, row) == self.context for each in fields)

    def _rows_of(self, field: Any) -> Q | None:
        given = field.key_context
        if given is None:
            own = vaults[field.vault_alias].key_context
            given = own.items if own else {}
        condition = Q()
        for name, value in self.context.items.items():
            item = given.get(name)
            if isinstance(item, FromRow):
                condition &= _rows_with(item, field.model, value)
            elif item != value:
                return None
        return condition


def parsed_items(items: Iterable[str]) -> KeyContext:
    """Return the key context that arguments like ``organization_id=org_1`` name.

    Raises InvalidVaultConfiguration for what is none.
    """
    context: dict[str, str] = {}
    for item in items:
        name, found, value = item.partition("=")
        if not (found and name and value):
            raise InvalidVaultConfiguration(f"{item!r} is no item of a key context: write name=value.")
        if name in context:
            raise InvalidVaultConfiguration(f"{name!r} is given twice.")
        context[name] = value
    return KeyContext(context)


def as_text(context: KeyContext) -> str:
    """Return the items of ``context`` as the command takes them."""
    return " ".join(f"{name}={value}" for name, value in sorted(context.items.items()))


def context_for(field: Any, row: Model) -> KeyContext | None:
    """Return what the row's value is sealed under when it is saved, None where the row does not tell."""
    try:
        context: KeyContext = field.scheme.context_for(row)
    except InvalidVaultConfiguration:
        return None
    return context


def _rows_with(item: FromRow, model: type[Model], value: str) -> Q:
    """Return the condition that ``item`` gives ``value``, none at all where only Python can tell."""
    try:
        return item.rows_with(model, value) or Q()
    except ValidationError:
        return Q(pk__in=[])  # no row holds it: the text of a number is a number


def _folded(context: KeyContext) -> dict[str, str]:
    return {name.strip().casefold(): value.strip().casefold() for name, value in context.items.items()}
