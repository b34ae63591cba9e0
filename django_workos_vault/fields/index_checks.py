"""System checks of ``blind_indexes``. What each one means stands in docs/checks.md."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from django.core import checks
from django.core.exceptions import FieldError
from django.db import connections, router
from django.db.models import BinaryField, BooleanField, CharField, JSONField, UniqueConstraint

from django_workos_vault.blind import FULL_BITS, MIN_BITS, Compound, Kind, LastCharacters
from django_workos_vault.envelope import MAX_DIGESTS
from django_workos_vault.fields.column_paths import columns_read
from django_workos_vault.fields.digests import encrypted_fields
from django_workos_vault.indexes import BlindIndex

#: A digest of one of fewer choices is as good as the value: whoever sees the counts can name them.
FEWEST_CHOICES = 20


def check_blind_indexes(field: Any, databases: Iterable[str] | None) -> list[checks.CheckMessage]:
    """Return what is wrong with the field's blind indexes, and with indexes and constraints over it."""
    for kind in field.blind_indexes:
        if kind is not None and not isinstance(kind, Kind):
            return [
                _error(
                    field, "E030", f"blind_indexes holds a {type(kind).__name__}, which is no kind of index."
                )
            ]
    return [
        *_check_declaration(field),
        *_check_what_they_reveal(field),
        *_check_meta(field),
        *_check_databases(field, databases or ()),
    ]


def _check_declaration(field: Any) -> Iterator[checks.CheckMessage]:
    if len(field.blind_indexes) > MAX_DIGESTS:
        yield _error(field, "E030", f"A cell has room for {MAX_DIGESTS} blind indexes.")
    seen: set[tuple[str, int]] = set()
    for _, kind in field.digests.slots:
        if (kind.name, kind.version) in seen:
            yield _error(
                field,
                "E030",
                f"Two blind indexes are called {kind.name!r}, version {kind.version}: name one.",
            )
        seen.add((kind.name, kind.version))
        for problem in _problems(field, kind):
            yield _error(field, "E030", f"The blind index {kind.name!r}: {problem}.")
        if kind.of_text and holds_no_text(field):
            yield checks.Error(
                f"The blind index {kind.name!r} compares texts, and {type(field).__name__} holds none.",
                hint="Use Exact(), or index a text field beside it.",
                obj=field,
                id="django_workos_vault.E060",
            )


def _problems(field: Any, kind: Kind) -> Iterator[str]:
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
        encrypted = {f.name for f in encrypted_fields(field.model)}
        if not kind.with_fields or not set(kind.with_fields) <= encrypted - {field.name}:
            yield "with_fields must name other encrypted fields of the same model"


def _check_what_they_reveal(field: Any) -> Iterator[checks.CheckMessage]:
    alone = [kind for _, kind in field.digests.slots if not isinstance(kind, Compound)]
    if alone and has_few_values(field):
        yield checks.Error(
            "A blind index on a field with so few values would reveal them.",
            hint="Equal values have equal digests, so the counts of each tell which is which. Filter in "
            "Python, or combine the field with another one in a Compound index.",
            obj=field,
            id="django_workos_vault.E031",
        )


def _check_meta(field: Any) -> Iterator[checks.CheckMessage]:
    options = field.model._meta
    named = [*options.indexes, *options.constraints]
    direct = [item.name for item in named if _reads_ciphertext(item, field)]
    if direct or any(field.name in together for together in options.unique_together):
        yield checks.Error(
            f"{direct[0] if direct else 'unique_together'} indexes ciphertext, where nothing is ever equal.",
            hint=_instead(field, direct[0] if direct else "unique_together"),
            obj=field,
            id="django_workos_vault.E032",
        )
    backed = set()
    for item in named:
        for position, expression in enumerate(getattr(item, "expressions", ())):
            if not isinstance(expression, BlindIndex) or expression.source_name != field.name:
                continue
            try:
                slot, kind = expression.entry(field)
            except FieldError as exc:
                hint = (
                    "Name one that is declared."
                    if field.digests.slots
                    else f"{_give_exact(field).split(' and ')[0]}."
                )
                yield _error(field, "E033", f"{item.name}: {exc}", hint)
                continue
            if position == 0:
                backed.add(slot)
            if isinstance(item, UniqueConstraint) and kind.bits < FULL_BITS:
                yield _error(
                    field,
                    "E034",
                    f"{item.name} would refuse different values: {kind.name!r} has {kind.bits} bits.",
                    f"Put models.Index in the place of {item.name}, or take bits away.",
                )
    for slot, kind in field.digests.slots:
        if slot not in backed:
            yield checks.Warning(
                f"No index of the table begins with the blind index {kind.name!r} (version {kind.version}): "
                "lookups read every row.",
                hint=f"Add models.Index({_expression(field, kind)}, name={_index_name(field, kind)!r}) to "
                "Meta.indexes.",
                obj=field,
                id="django_workos_vault.W030",
            )


def _reads_ciphertext(item: Any, field: Any) -> bool:
    expressions = [e[0] if isinstance(e, list | tuple) else e for e in getattr(item, "expressions", ())]
    read = {path for e in expressions for path in ([e] if isinstance(e, str) else columns_read(e))}
    named = {name.removeprefix("-") for name in getattr(item, "fields", ())}
    return field.name in named | read


def _check_databases(field: Any, databases: Iterable[str]) -> Iterator[checks.CheckMessage]:
    for alias in databases:
        connection = connections[alias]
        if (
            field.digests.slots
            and router.allow_migrate_model(alias, field.model)
            and not connection.features.supports_expression_indexes
        ):
            yield checks.Warning(
                f"{connection.display_name} ({alias!r}) has no indexes on expressions: lookups in blind "
                "indexes are right, but read every row, and a UniqueConstraint over one is not enforced.",
                hint="Use PostgreSQL, SQLite or MySQL 8 for large or unique columns.",
                obj=field,
                id="django_workos_vault.W031",
            )


def unique_hint(field: Any) -> str:
    """Return what to write instead of ``unique=True`` on ``field``."""
    if has_few_values(field):
        return "Take it away: with so few values, a blind index would reveal them."
    return (
        f"{_give_exact(field)} constraints = "
        f'[models.UniqueConstraint({_exact(field)}, name="{_name(field, "uniq")}")], both from '
        "django_workos_vault.indexes."
    )


def index_hint(field: Any) -> str:
    """Return what to write instead of ``db_index=True`` on ``field``."""
    if has_few_values(field):
        return "Take it away: with so few values, a blind index would reveal them."
    return (
        f"{_give_exact(field)} indexes = "
        f'[models.Index({_exact(field)}, name="{_name(field, "idx")}")], both from '
        "django_workos_vault.indexes."
    )


def _give_exact(field: Any) -> str:
    if _exact_kind(field):
        return "Give the model's Meta"
    if field.blind_indexes:
        return "Append Exact() to the field's blind_indexes and give the model's Meta"
    return "Give the field blind_indexes=[Exact()] and the model's Meta"


def _exact(field: Any) -> str:
    kind = _exact_kind(field)
    if kind is not None:
        return _expression(field, kind)
    return f'BlindIndex("{field.name}", "exact")' if field.blind_indexes else f'BlindIndex("{field.name}")'


def _exact_kind(field: Any) -> Kind | None:
    for _, kind in field.digests.slots:
        if isinstance(kind, Kind) and "exact" in (kind.name, *kind.lookups):
            return kind
    return None


def _instead(field: Any, item: str) -> str:
    if has_few_values(field):
        return f"Take {field.name} out of {item}."
    give = "" if _exact_kind(field) else f"{_give_exact(field).split(' and ')[0]}, and put "
    if item == "unique_together":
        together = next(names for names in field.model._meta.unique_together if field.name in names)
        others = [name for name in together if name != field.name]
        parts = ", ".join([_exact(field), *(_part(field.model._meta.get_field(name)) for name in others)])
        return (
            f"{give or 'Put '}this in the place of unique_together, with django_workos_vault.indexes: "
            f'constraints = [models.UniqueConstraint({parts}, name="{_name(field, "uniq")}")]'
        )
    return f"{give or 'Put '}{_exact(field)} in the place of the field in {item}, as an expression."


def _part(field: Any) -> str:
    # Another encrypted field is told by a check of its own, with the same constraint.
    return _exact(field) if hasattr(field, "blind_indexes") else f'"{field.name}"'


def _index_name(field: Any, kind: Kind) -> str:
    return _name(field, f"{kind.name[:12]}{'' if kind.version == 1 else kind.version}")


def _name(field: Any, suffix: str) -> str:
    whole = f"{field.model._meta.model_name}_{field.name}".strip("_")
    room = 29 - len(suffix)  # an index has 30 characters
    if len(whole) > room:
        whole = f"{whole[: room - 5]}_{sha256(whole.encode()).hexdigest()[:4]}"
    return f"{whole}_{suffix}"


def holds_no_text(field: Any) -> bool:
    """Whether the field's values cannot be compared as texts."""
    return isinstance(field, BinaryField | JSONField)


def has_few_values(field: Any) -> bool:
    """Whether a digest would reveal the value: each is one of few."""
    return isinstance(field, BooleanField) or 0 < len(field.flatchoices or ()) < FEWEST_CHOICES


def _expression(field: Any, kind: Kind) -> str:
    version = f", version={kind.version}" if kind.version != 1 else ""
    return f'BlindIndex("{field.name}", "{kind.name}"{version})'


def _error(field: Any, number: str, message: str, hint: str | None = None) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, obj=field, id=f"django_workos_vault.{number}")
