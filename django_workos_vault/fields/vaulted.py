"""What every field that uses a vault has in common: alias, key context, label and mask."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models import Field, Model

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.hooks import watch_rows
from django_workos_vault.fields.rename_detection import looks_for_renames
from django_workos_vault.fields.rows import (
    NOT_LOADED,
    FromRow,
    resolve_key_context,
    row_columns,
    row_values,
    stored_row,
)
from django_workos_vault.vault import Vault, vaults

if TYPE_CHECKING:
    _Field = Field[Any, Any]
else:
    _Field = object


class VaultFieldMixin(_Field):
    """Knows which vault and which key a value belongs to. Goes in front of a Django field class."""

    bind_to: tuple[str, ...] = ()
    previous_bind_to: tuple[tuple[str, ...], ...] = ()

    def __init__(
        self,
        *args: Any,
        vault: str = "default",
        key_context: dict[str, Any] | None = None,
        mask: str = "full",
        label: str | None = None,
        previous_labels: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        self.vault_alias = vault
        self.key_context = key_context
        self.mask = mask
        self.explicit_label = label
        self.previous_labels = tuple(previous_labels)
        super().__init__(*args, **kwargs)

    def contribute_to_class(self, cls: type[Model], name: str, *args: Any, **kwargs: Any) -> None:
        super().contribute_to_class(cls, name, *args, **kwargs)
        watch_rows(cls, self.remembers_row)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if path.startswith(f"{__package__}."):
            path = f"{__package__}.{type(self).__qualname__}"  # migrations do not depend on our files
        if looks_for_renames():
            return name, path, args, kwargs
        if self.vault_alias != "default":
            kwargs["vault"] = self.vault_alias
        if self.key_context is not None:
            kwargs["key_context"] = self.key_context
        if self.mask != "full":
            kwargs["mask"] = self.mask
        if self.explicit_label is not None:
            kwargs["label"] = self.explicit_label
        if self.previous_labels:
            kwargs["previous_labels"] = self.previous_labels
        return name, path, args, kwargs

    @cached_property
    def label(self) -> str:
        """The name that this field's cells are sealed for."""
        return self.explicit_label or f"{self.model._meta.label}.{self.name}"

    @property
    def labels(self) -> tuple[str, ...]:
        """The label, and those before it."""
        return (self.label, *self.previous_labels)

    @property
    def vault(self) -> Vault:
        """The configured vault that keeps this field's keys."""
        return vaults[self.vault_alias]

    @cached_property
    def is_row_aware(self) -> bool:
        """Whether sealing needs the row: for its key context, or because cells are bound to it."""
        return bool(self.bind_to) or any(
            isinstance(item, FromRow) for item in (self.key_context or {}).values()
        )

    @cached_property
    def remembers_row(self) -> bool:
        """Whether a value keeps what its row held when it was loaded: to open it, or to store it anew."""
        return self.is_row_aware or bool(self.previous_bind_to)

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """Attribute names of the local columns that this field's cells depend on."""
        return row_columns(self)

    @cached_property
    def _own_context(self) -> KeyContext | None:
        return KeyContext(self.key_context) if self.key_context is not None else None

    def context_for(self, instance: Model | None) -> KeyContext:
        """Return the key context for a value of ``instance``, or of no instance at hand.

        Raises FieldError when the context comes from the row and there is none.
        """
        if self.is_row_aware:
            if instance is None:
                raise FieldError(
                    f"{self} depends on its row, and there is none in update(), bulk_update() and "
                    "expressions. Use update() and bulk_update() of EncryptedManager, or save()."
                )
            if self.key_context is not None:
                return resolve_key_context(self.key_context, instance)
        return self.static_context()

    def static_context(self) -> KeyContext:
        """Return the field's own key context, else its vault's."""
        context = self._own_context or vaults[self.vault_alias].key_context
        if context is None:
            raise InvalidVaultConfiguration(
                f"{self} has no key_context and vault {self.vault_alias!r} has no KEY_CONTEXT. Give one."
            )
        return context

    def held_by(self, instance: Model) -> Any:
        """Return what ``instance`` holds, opening and fetching nothing. What was deferred is loaded."""
        raise NotImplementedError

    def take_serialized(self, instance: Model) -> None:
        """In a raw save: turn the text of a cell that a fixture has for ``instance`` into the cell."""

    def load_serialized(self, instance: Model) -> None:
        """In a raw save, after all :meth:`take_serialized`: seal, or store, the value that a fixture has."""
        raise NotImplementedError

    def complete_row(self, held: Any, instance: Model) -> None:
        """Fetch what was deferred of the row that ``held`` depends on.

        The instance's own value may be one that the program has assigned since: the stored one counts.
        """
        if held.row is None or NOT_LOADED not in held.row:
            return
        row = dict(zip(self.row_columns, held.row, strict=True))
        missing = [name for name, value in row.items() if value is NOT_LOADED]
        is_assigned = not instance.__dict__.keys().isdisjoint(missing)
        source = stored_row(instance, *missing) if is_assigned else instance
        held.row = tuple((row | {name: getattr(source, name) for name in missing}).values())

    def row_changed(self, held: Withheld, instance: Model) -> bool:
        """Whether the program moved the row since ``held`` was sealed, so that it must be sealed anew."""
        if held.row is None:
            return False
        return any(old != new for old, new in self.row_then_and_now(held, instance).values())

    def row_then_and_now(self, held: Withheld, instance: Model) -> dict[str, tuple[Any, Any]]:
        """Return what the row's columns hold, by name: as ``held`` has them, and as ``instance`` does.

        Those that were not loaded, and not assigned, are left out.
        """
        now = dict(zip(self.row_columns, row_values(self, instance), strict=True))
        then = dict(zip(self.row_columns, held.row or (), strict=held.row is not None))
        if any(then[name] is NOT_LOADED is not now[name] for name in then):
            self.complete_row(held, instance)
            then = dict(zip(self.row_columns, held.row or (), strict=True))
        return {name: (then[name], now[name]) for name in then if NOT_LOADED not in (then[name], now[name])}
