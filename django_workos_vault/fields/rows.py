"""What a cell takes from its row: key-context values, and the identity that it is bound to.

The columns that a cell depends on are read when the row is loaded and kept with the cell. So a cell that was
swapped in the database fails to open, while a cell whose row the program changed is sealed anew on saving.
"""

import json
import sys
from collections.abc import Iterable
from hashlib import sha256
from operator import attrgetter
from types import FrameType
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist, FieldError, ObjectDoesNotExist
from django.db import models
from django.db.models.constants import OnConflict
from django.db.models.sql.compiler import SQLInsertCompiler
from django.utils.deconstruct import deconstructible

from django_workos_vault.context import KeyContext, key_context
from django_workos_vault.exceptions import MissingKeyContext

if TYPE_CHECKING:
    from django.db.models import Model

    from django_workos_vault.fields.field import EncryptedFieldMixin
    from django_workos_vault.fields.vaulted import VaultFieldMixin

NOT_LOADED: Any = object()

_STABLE = (models.IntegerField, models.CharField, models.UUIDField, models.BooleanField, models.DateField)


@deconstructible(path="django_workos_vault.fields.FromRow")
class FromRow:
    """A key-context value read from the row when it is sealed.

    ``path`` is a dotted attribute path from the instance, through relations if need be:
    ``FromRow("organization.workos_id")``. Use ``select_related`` where rows are saved in bulk, or each row
    costs a query.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FromRow) and self.path == other.path

    def __hash__(self) -> int:
        return hash((FromRow, self.path))

    def __repr__(self) -> str:
        return f"FromRow({self.path!r})"

    def value(self, instance: "Model") -> str:
        """Return the row's value as a string.

        Raises MissingKeyContext when the row has none: a cell must never be sealed under a key that
        the context does not name.
        """
        try:
            value = attrgetter(self.path)(instance)
        except (AttributeError, ObjectDoesNotExist) as exc:
            raise self._missing(instance) from exc
        if value is None or value == "":
            raise self._missing(instance)
        return str(value)

    def _missing(self, instance: "Model") -> MissingKeyContext:
        return MissingKeyContext(
            f"This {instance._meta.label} has no {self.path}, which chooses the key of its encrypted fields. "
            "Set it before saving."
        )


def resolve_key_context(given: dict[str, Any], instance: "Model") -> KeyContext:
    """Return ``given`` with every :class:`FromRow` replaced by the row's value."""
    return key_context(
        *((name, item.value(instance) if isinstance(item, FromRow) else item) for name, item in given.items())
    )


def bound_columns(
    field: "VaultFieldMixin", bind_to: tuple[str, ...] | None = None
) -> "tuple[models.Field[Any, Any], ...]":
    """Return the local columns named in ``bind_to``, the field's own unless another is given.

    Raises FieldDoesNotExist for a name that is none.
    """
    options = field.model._meta
    names = field.bind_to if bind_to is None else bind_to
    return tuple(options.pk if name == "pk" else options.get_field(name) for name in names)  # type: ignore[misc]


def unbindable(column: "models.Field[Any, Any]") -> str:
    """Return why cells cannot be bound to ``column``, or an empty string."""
    target = getattr(column, "target_field", column)
    if getattr(target, "db_returning", False) and target is column:
        return "the database assigns its value after the row is written"
    if hasattr(target, "bind_to"):
        return "it is encrypted"
    if not isinstance(target, _STABLE) or isinstance(target, models.DateTimeField):
        return f"a {type(column).__name__} does not read the same after a round trip through every database"
    return ""


def row_columns(field: "VaultFieldMixin") -> tuple[str, ...]:
    """Return the attribute names of the local columns that the field's cells depend on, bound ones first."""
    names = [
        column.attname
        for bind_to in (field.bind_to, *field.previous_bind_to)
        for column in bound_columns(field, bind_to)
    ]
    for item in (field.key_context or {}).values():
        if isinstance(item, FromRow):
            try:
                column = field.model._meta.get_field(item.path.partition(".")[0])
            except FieldDoesNotExist:
                continue  # a property: nothing that could be watched
            names.append(column.attname)  # type: ignore[union-attr]
    return tuple(dict.fromkeys(names))


def row_values(field: "VaultFieldMixin", instance: "Model") -> tuple[Any, ...]:
    """Return what the instance holds in :func:`row_columns` now, ``NOT_LOADED`` for deferred ones."""
    return tuple(instance.__dict__.get(name, NOT_LOADED) for name in field.row_columns)


def stored_row(instance: "Model", *names: str) -> Any:
    """Return another instance of the row of ``instance``, as it is stored, with the columns ``names``.

    Raises DoesNotExist when there is none.
    """
    manager = type(instance)._base_manager.db_manager(instance._state.db, hints={"instance": instance})
    return manager.only(*names).get(pk=instance.pk)


def bindings(field: "EncryptedFieldMixin", row: tuple[Any, ...]) -> list[bytes]:
    """Return what stands in a cell for the row's identity: as ``bind_to`` has it, then as it was before.

    ``row`` holds the values of :func:`row_columns`. An identity is 16 bytes, the start of SHA-256 of the
    bound columns as JSON; for a field that is bound to nothing, no bytes.
    """
    values = dict(zip(field.row_columns, row, strict=True))
    return [
        _identity(bound_columns(field, bind_to), values)
        for bind_to in (field.bind_to, *field.previous_bind_to)
    ]


def _identity(columns: "tuple[models.Field[Any, Any], ...]", values: dict[str, Any]) -> bytes:
    if not columns:
        return b""
    identity = [(column.attname, _canonical(column, values[column.attname])) for column in columns]
    return sha256(json.dumps(identity, separators=(",", ":")).encode()).digest()[:16]


def _canonical(column: "models.Field[Any, Any]", value: Any) -> str | None:
    # A value reads the same before and after a round trip through the database: "5" and 5 are one key.
    target = getattr(column, "target_field", column)
    return None if value is None else str(target.to_python(value))


def depends_on(field: "EncryptedFieldMixin", model: "type[Model]", names: Iterable[str]) -> bool:
    """Whether writing the columns ``names`` of ``model`` means sealing ``field``'s cell anew."""
    own = {field.name, field.attname} if field.is_row_aware or field.compounds else set()
    needed = (*field.row_columns, *field.compound_members)
    columns = {field.model._meta.get_field(name).attname for name in needed}  # type: ignore[union-attr]
    written = {getattr(model._meta.get_field(name), "attname", name) for name in names if name != "pk"}
    return bool((own | columns) & written)


def refuse_partial_rebinding(instance: "Model", written: frozenset[str]) -> None:
    """Raise FieldError when writing the columns ``written`` alone would move a row from under its cells."""
    for field in instance._meta.concrete_fields:
        if not getattr(field, "bind_to", ()) or field.name in written:
            continue
        moved = [column.name for column in bound_columns(field) if {column.name, column.attname} & written]  # type: ignore[arg-type]
        held = instance.__dict__.get(field.attname)
        if moved and hasattr(held, "row") and field.row_changed(held, instance):  # type: ignore[attr-defined]
            raise FieldError(
                f"{field} is bound to {', '.join(moved)}: write it too, so that it is sealed anew."
            )


def bring_cells_along(instance: "Model", written: frozenset[str]) -> frozenset[str]:
    """Return ``written`` with the deferred fields that a save of those columns would leave behind.

    A save of an instance with deferred columns writes the others alone: it would move the row from under
    cells that it does not know. They are loaded as they are stored, to be sealed anew. To be asked before
    each table of the row is written: a parent's column may move a child's cell.
    """
    brought: set[str] = instance._state.__dict__.setdefault("workos_vault_brought", set())
    fields: list[Any] = [f for f in instance._meta.concrete_fields if getattr(f, "remembers_row", False)]
    for field in fields:
        columns = map(field.model._meta.get_field, field.row_columns)
        if not any({column.name, column.attname} & written for column in columns):
            continue
        held = instance.__dict__.get(field.attname)
        if field.attname not in instance.__dict__:
            held = stored_row(instance, field.attname, *field.row_columns).__dict__[field.attname]
        moved = hasattr(held, "row") and field.row_changed(held, instance)  # also completes what it holds
        if moved and field.attname not in instance.__dict__:
            instance.__dict__[field.attname] = held
            brought.add(field.name)
    return written | brought


def refuse_foreign_upsert(field: "EncryptedFieldMixin") -> None:
    """Raise FieldError when an upsert under way could part a cell from the row it was sealed for.

    ``bulk_create(update_conflicts=True)`` writes cells sealed for new rows into rows that are there. Those
    have the same values only in the columns that are updated too, or by which the conflict is told.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not SQLInsertCompiler.pre_save_val.__code__:
        frame = frame.f_back
    query = frame.f_locals["self"].query if frame is not None else None
    if query is None or query.on_conflict is not OnConflict.UPDATE:
        return
    updated = {column.attname for column in query.update_fields}
    same = updated | {column.attname for column in query.unique_fields or ()}
    indexed = set(field.compound_members)
    bound = {column.attname for column in bound_columns(field)} | indexed
    parted = ({*field.row_columns} | indexed) - same if field.attname in updated else bound & updated
    if parted:
        raise FieldError(
            f"{field} depends on its row: this bulk_create(update_conflicts=True) would leave a cell sealed "
            f"for another row's {', '.join(sorted(parted))}. Name {field.name} and these columns in "
            "update_fields, or save the rows one by one."
        )


def remember_row(instance: "Model") -> None:
    """Note, with each cell of a row just loaded, what the row holds in the columns that it depends on."""
    for field in instance._meta.concrete_fields:
        held = instance.__dict__.get(field.attname)
        if (
            held is not None
            and getattr(held, "row", instance) is None
            and getattr(field, "row_columns", None)
        ):
            held.row = row_values(field, instance)  # type: ignore[arg-type]
