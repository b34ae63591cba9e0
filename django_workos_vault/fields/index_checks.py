"""System checks of ``blind_indexes``. What each one means stands in docs/checks.md."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db import connections, router
from django.db.models import CharField, UniqueConstraint

from django_workos_vault.blind import FULL_BITS, MIN_BITS, Compound, Kind, LastCharacters
from django_workos_vault.envelope import MAX_DIGESTS
from django_workos_vault.fields.checks import FieldChecks
from django_workos_vault.fields.column_paths import columns_read
from django_workos_vault.fields.digests import fields_with_digests
from django_workos_vault.fields.index_advice import IndexAdvice
from django_workos_vault.indexes import BlindIndex


class IndexChecks(FieldChecks):
    """What is wrong with a field's blind indexes, and with indexes and constraints over it."""

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self._advice = IndexAdvice(field)

    def messages(self, databases: Iterable[str] | None) -> list[CheckMessage]:
        """Return the messages; those of ``databases`` too, where they are asked for."""
        for kind in self.field.blind_indexes:
            if kind is not None and not isinstance(kind, Kind):
                message = f"blind_indexes holds a {type(kind).__name__}, which is no kind of index."
                return [self.error("E030", message)]
        return [
            *self._declaration(),
            *self._what_they_reveal(),
            *self._ciphertext_indexed(),
            *self._indexes_over_them(),
            *self._databases(databases or ()),
        ]

    def _declaration(self) -> Iterator[CheckMessage]:
        field = self.field
        if len(field.blind_indexes) > MAX_DIGESTS:
            yield self.error("E030", f"A cell has room for {MAX_DIGESTS} blind indexes.")
        seen: set[tuple[str, int]] = set()
        for _, kind in field.digests.slots:
            if (kind.name, kind.version) in seen:
                message = f"Two blind indexes are called {kind.name!r}, version {kind.version}: name one."
                yield self.error("E030", message)
            seen.add((kind.name, kind.version))
            for problem in self._problems(kind):
                yield self.error("E030", f"The blind index {kind.name!r}: {problem}.")
            if kind.of_text and not field.digests.compare_texts:
                yield self.error(
                    "E060",
                    f"The blind index {kind.name!r} compares texts, and {type(field).__name__} holds none.",
                    "Use Exact(), or index a text field beside it.",
                )

    def _problems(self, kind: Kind) -> Iterator[str]:
        taken = set(CharField().get_lookups()) - set(kind.lookups)
        if not kind.name.isidentifier() or "__" in kind.name or kind.name in taken:
            yield "its name must be an identifier that is no lookup of Django's and has no double underscore"
        if type(kind.version) is not int or kind.version < 1:
            yield "its version must be 1, 2, 3, ..."
        if type(kind.bits) is not int or not MIN_BITS <= kind.bits <= FULL_BITS:
            yield f"its bits must be {MIN_BITS} to {FULL_BITS}"
        if isinstance(kind, LastCharacters) and (type(kind.count) is not int or kind.count < 1):
            yield "its count must be 1 or more"
        if isinstance(kind, Compound):
            encrypted = {field.name for field in fields_with_digests(self.field.model)}
            if not kind.with_fields or not set(kind.with_fields) <= encrypted - {self.field.name}:
                yield "with_fields must name other encrypted fields of the same model"

    def _what_they_reveal(self) -> Iterator[CheckMessage]:
        alone = [kind for _, kind in self.field.digests.slots if not isinstance(kind, Compound)]
        if alone and self._advice.would_reveal:
            yield self.error(
                "E031",
                "A blind index on a field with so few values would reveal them.",
                "Equal values have equal digests, so the counts of each tell which is which. Filter in "
                "Python, or combine the field with another one in a Compound index.",
            )

    def _ciphertext_indexed(self) -> Iterator[CheckMessage]:
        together = any(self.field.name in names for names in self.field.model._meta.unique_together)
        direct = [item.name for item in self._named() if _reads_ciphertext(item, self.field)]
        if direct or together:
            item = direct[0] if direct else "unique_together"
            yield self.error(
                "E032",
                f"{item} indexes ciphertext, where nothing is ever equal.",
                self._advice.of_ciphertext_in(item),
            )

    def _indexes_over_them(self) -> Iterator[CheckMessage]:
        field = self.field
        backed = set()
        for item in self._named():
            for position, expression in enumerate(getattr(item, "expressions", ())):
                if not isinstance(expression, BlindIndex) or expression.source_name != field.name:
                    continue
                try:
                    slot, kind = expression.entry(field)
                except FieldError as exc:
                    declared = "Name one that is declared."
                    hint = declared if field.digests.slots else f"{self._advice.give_kind()}."
                    yield self.error("E033", f"{item.name}: {exc}", hint)
                    continue
                if position == 0:
                    backed.add(slot)
                if isinstance(item, UniqueConstraint) and kind.bits < FULL_BITS:
                    yield self.error(
                        "E034",
                        f"{item.name} would refuse different values: {kind.name!r} has {kind.bits} bits.",
                        f"Put models.Index in the place of {item.name}, or take bits away.",
                    )
        for slot, kind in field.digests.slots:
            if slot not in backed:
                yield self.warning(
                    "W030",
                    f"No index of the table begins with the blind index {kind.name!r} (version "
                    f"{kind.version}): lookups read every row.",
                    f"Add {self._advice.index_of(kind)} to Meta.indexes.",
                )

    def _databases(self, databases: Iterable[str]) -> Iterator[CheckMessage]:
        for alias in databases:
            connection = connections[alias]
            if (
                self.field.digests.slots
                and router.allow_migrate_model(alias, self.field.model)
                and not connection.features.supports_expression_indexes
            ):
                yield self.warning(
                    "W031",
                    f"{connection.display_name} ({alias!r}) has no indexes on expressions: lookups in blind "
                    "indexes are right, but read every row, and a UniqueConstraint over one is not enforced.",
                    "Use PostgreSQL, SQLite or MySQL 8 for large or unique columns.",
                )

    def _named(self) -> list[Any]:
        options = self.field.model._meta
        return [*options.indexes, *options.constraints]


def _reads_ciphertext(item: Any, field: Any) -> bool:
    expressions = [e[0] if isinstance(e, list | tuple) else e for e in getattr(item, "expressions", ())]
    read = {path for e in expressions for path in ([e] if isinstance(e, str) else columns_read(e))}
    named = {name.removeprefix("-") for name in getattr(item, "fields", ())}
    return field.name in named | read
