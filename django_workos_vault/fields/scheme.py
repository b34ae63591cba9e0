"""What a field's values are sealed for: vault, key context, label, and the row where the field says so.

The columns that a cell depends on are read when the row is loaded and kept with the cell. So a cell that was
swapped in the database fails to open, while a cell whose row the program changed is sealed anew on saving.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from hashlib import sha256
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import BooleanField, CharField, DateField, DateTimeField, IntegerField, Model, UUIDField

from django_workos_vault.cipher import Cipher
from django_workos_vault.context import KeyContext, key_context
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.handler import vaults
from django_workos_vault.registry.tables import make_tables
from django_workos_vault.vault import Vault

#: In the place of a value that was deferred.
NOT_LOADED: Any = object()

#: What a row held in a scheme's columns, in their order.
Row = tuple[Any, ...]

_STABLE = (IntegerField, CharField, UUIDField, BooleanField, DateField)

#: What gives ``update()`` the rows: the line for the model, and its import.
GIVE_MANAGER = (
    "give the model objects = EncryptedManager(), with: from django_workos_vault.querysets import "
    "EncryptedManager"
)


class Scheme:
    """How the values of one field are sealed. ``field`` has a model and a name.

    Reads the field's arguments ``vault_alias``, ``key_context``, ``explicit_label``, ``previous_labels``,
    ``bind_to`` and ``previous_bind_to``, once.
    """

    def __init__(self, field: Any) -> None:
        self._place = str(field)
        self._options = field.model._meta
        self._given: dict[str, Any] | None = field.key_context
        self._bindings: tuple[tuple[str, ...], ...] = (field.bind_to, *field.previous_bind_to)
        #: the cipher, once it was asked for: from a vault that may have been closed since
        self.cipher_in_use: Cipher | None = None
        self.vault_alias: str = field.vault_alias
        #: the name that cells are sealed for
        self.label: str = field.explicit_label or f"{self._options.label}.{field.name}"
        #: the label, and those before it
        self.labels: tuple[str, ...] = (self.label, *field.previous_labels)
        #: whether cells are sealed for their row from now on, and whether some may open only in their row
        self.binds, self.is_bound = bool(field.bind_to), any(self._bindings)
        #: what of the row chooses the key context
        self.chosen_by = tuple(item for item in (self._given or {}).values() if isinstance(item, FromRow))
        #: whether sealing needs the row: for its key context, or because cells are bound to it
        self.needs_row = self.binds or bool(self.chosen_by)
        #: whether a value keeps what its row held when it was loaded: to open it, or to store it anew
        self.remembers_row = self.needs_row or self.is_bound

    @property
    def vault(self) -> Vault:
        """The configured vault that keeps the keys."""
        if self._options.model.__module__ == "__fake__":  # of a migration
            self._tables_of_keys  # noqa: B018
        return vaults[self.vault_alias]

    @cached_property
    def _tables_of_keys(self) -> None:
        """Nothing, once the tables are there that a migration which seals or searches needs."""
        make_tables()

    @property
    def cipher(self) -> Cipher:
        """What seals and opens the cells."""
        cipher = self.cipher_in_use
        if cipher is None or cipher.keyring.closed:
            cipher = self.cipher_in_use = self.vault.cipher(self.label, self.labels[1:])
        return cipher

    # Which key

    @cached_property
    def _own_context(self) -> KeyContext | None:
        return KeyContext(self._given) if self._given is not None else None

    def static_context(self) -> KeyContext:
        """Return the field's own key context, else its vault's. Raises InvalidVaultConfiguration."""
        context = self._own_context or self.vault.key_context
        if context is None:
            raise InvalidVaultConfiguration(
                f"{self._place} has no key_context and vault {self.vault_alias!r} has no KEY_CONTEXT. "
                "Give one."
            )
        return context

    def context_for(self, instance: Model | None) -> KeyContext:
        """Return the key context for a value of ``instance``, or of no instance at hand.

        Raises FieldError when the context comes from the row and there is none.
        """
        if not self.needs_row:
            return self.static_context()
        if instance is None:
            raise FieldError(
                f"{self._place} depends on its row, and there is none in update() and expressions; None "
                f"alone needs none. Use save() or bulk_update(), or {GIVE_MANAGER}"
            )
        if self._given is None:
            return self.static_context()
        items = self._given.items()
        return key_context(*((n, v.value(instance) if isinstance(v, FromRow) else v) for n, v in items))

    def contexts_of(self, instances: Iterable[Model]) -> Iterator[KeyContext]:
        """Yield the key context of each instance that has one: sealing the others raises the reason."""
        for instance in instances:
            try:
                yield self.context_for(instance)
            except InvalidVaultConfiguration:
                continue

    # Which row

    @cached_property
    def context_columns(self) -> tuple[str, ...]:
        """Attribute names of the local columns that choose the key context."""
        columns = (item.column(self._options.model) for item in self.chosen_by)
        return tuple(dict.fromkeys(column.attname for column in columns if column is not None))

    @cached_property
    def context_relations(self) -> tuple[str, ...]:
        """The relations that the key context is read through, as paths of a prefetch."""
        paths = {item.relations(self._options.model) for item in self.chosen_by}
        return tuple(sorted(paths - {""}))

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """Attribute names of the local columns that cells depend on, bound ones first."""
        bound = [column.attname for names in self._bindings for column in self._columns(names)]
        return tuple(dict.fromkeys((*bound, *self.context_columns)))

    @property
    def bound_columns(self) -> tuple[Any, ...]:
        """The local columns that cells are bound to. Raises FieldDoesNotExist for a name that is none."""
        return self._columns(self._bindings[0])

    @property
    def maybe_bound_columns(self) -> tuple[Any, ...]:
        """The local columns that a cell may be bound to, those of ``previous_bind_to`` too."""
        return tuple(dict.fromkeys(column for names in self._bindings for column in self._columns(names)))

    def row_of(self, instance: Model) -> Row:
        """Return what the instance holds in :attr:`row_columns` now, ``NOT_LOADED`` for deferred ones."""
        return tuple(instance.__dict__.get(name, NOT_LOADED) for name in self.row_columns)

    def lacks(self, row: Row, instance: Model) -> bool:
        """Whether the instance holds something by now that was deferred in ``row``."""
        return any(old is NOT_LOADED is not now for old, now in zip(row, self.row_of(instance), strict=True))

    def completed(self, row: Row, instance: Model) -> Row:
        """Return ``row`` with what was deferred in it, as it is stored.

        The instance's own value may be one that the program has assigned since. An instance without a key,
        as a history makes of a row that was loaded in part, is stored nowhere: what it was given counts.
        """
        known = dict(zip(self.row_columns, row, strict=True))
        missing = [name for name, value in known.items() if value is NOT_LOADED]
        is_assigned = not instance.__dict__.keys().isdisjoint(missing)
        source = stored_row(instance, *missing) if is_assigned and instance.pk is not None else instance
        return tuple((known | {name: getattr(source, name) for name in missing}).values())

    def whole_row_of(self, instance: Model) -> Row:
        """Return :meth:`row_of`, fetching what was deferred."""
        return tuple(getattr(instance, name) for name in self.row_columns)

    def has_moved(self, row: Row | None, instance: Model) -> bool:
        """Whether the program moved the row since it was ``row``, so that its cell must be sealed anew."""
        if row is None:
            return False
        now = self.row_of(instance)
        return any(old != new for old, new in zip(row, now, strict=True) if NOT_LOADED not in (old, new))

    def identities(self, row: Row) -> list[bytes]:
        """Return what stands in a cell for the row's identity: as ``bind_to`` has it, then as it was before.

        An identity is 16 bytes, the start of SHA-256 of the bound columns as JSON; for a field that is bound
        to nothing, no bytes.
        """
        values = dict(zip(self.row_columns, row, strict=True))
        return [_identity(self._columns(names), values) for names in self._bindings]

    def _columns(self, names: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(self._options.pk if name == "pk" else self._options.get_field(name) for name in names)


def stored_row(instance: Model, *names: str) -> Any:
    """Return another instance of the row of ``instance``, as it is stored, with the columns ``names``.

    Raises DoesNotExist when there is none.
    """
    manager = type(instance)._base_manager.db_manager(instance._state.db, hints={"instance": instance})
    return manager.only(*names).get(pk=instance.pk)


def _identity(columns: tuple[Any, ...], values: dict[str, Any]) -> bytes:
    if not columns:
        return b""
    identity = [(column.attname, _canonical(column, values[column.attname])) for column in columns]
    return sha256(json.dumps(identity, separators=(",", ":")).encode()).digest()[:16]


def _canonical(column: Any, value: Any) -> str | None:
    # A value reads the same before and after a round trip through the database: "5" and 5 are one key.
    target = getattr(column, "target_field", column)
    return None if value is None else str(target.to_python(value))


def unbindable(column: Any) -> str:
    """Return why cells cannot be bound to ``column``, or an empty string."""
    target = getattr(column, "target_field", column)
    if getattr(target, "db_returning", False) and target is column:
        return "the database assigns its value after the row is written"
    if hasattr(target, "bind_to"):
        return "it is encrypted"
    if not isinstance(target, _STABLE) or isinstance(target, DateTimeField):
        return f"a {type(column).__name__} does not read the same after a round trip through every database"
    return ""
