"""What every field that uses a vault has in common: how it is declared, and what Django gets to see of it.

The instance holds something withheld (``cell.Withheld``) until somebody reads the attribute. Forms, fixtures
and raw saves go through here.
"""

from collections.abc import Callable
from functools import cached_property, partialmethod
from typing import TYPE_CHECKING, Any

from django.db.models import Field, Model

from django_workos_vault import masks
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import DecryptionForbidden, EnvelopeError, VaultError
from django_workos_vault.fields.cell import Withheld
from django_workos_vault.fields.django_internals.frames import looks_for_renames
from django_workos_vault.fields.fixtures import dumps_cells
from django_workos_vault.fields.forms import cells_are_to_stay_sealed, keep_cells
from django_workos_vault.fields.hooks import watch_rows
from django_workos_vault.fields.masking import UNREADABLE
from django_workos_vault.fields.scheme import Scheme
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.vault import Vault

if TYPE_CHECKING:
    _Base = Field[Any, Any]  # generic in the stubs alone
else:
    _Base = object


def _masked(instance: Model, field: "VaultField") -> str | None:
    """Return the mask of the value; None for NULL, and a marker where it needs a cell that does not open."""
    return field.masked_of(instance)


class VaultField(_Base):
    """Goes in front of a Django field class. Its arguments, all optional, are described in ``field``."""

    #: what the column holds that the database cannot compute with
    holds_cells: str
    bind_to: tuple[str, ...] = ()
    previous_bind_to: tuple[tuple[str, ...], ...] = ()

    def __init__(
        self,
        *args: Any,
        vault: str = "default",
        key_context: dict[str, Any] | None = None,
        mask: str | Callable[[Any], str] = "full",
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
        self.forget_place()
        super().contribute_to_class(cls, name, *args, **kwargs)
        watch_rows(cls, self.scheme.remembers_row)
        if f"get_{name}_masked" not in vars(cls):  # as Django does with get_..._display()
            setattr(cls, f"get_{name}_masked", partialmethod(_masked, field=self))

    def forget_place(self) -> None:
        """Work out anew what depends on model and name: a field may be made of another's ``__dict__``."""
        for kind in type(self).__mro__:
            if kind.__module__.startswith(__package__):
                for name, member in vars(kind).items():
                    if isinstance(member, cached_property) and name != "validators":
                        self.__dict__.pop(name, None)

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
            kwargs["mask"] = masks.path_of(self.mask)
        if self.explicit_label is not None:
            kwargs["label"] = self.explicit_label
        if self.previous_labels:
            kwargs["previous_labels"] = self.previous_labels
        return name, path, args, kwargs

    # What values are sealed for

    @cached_property
    def scheme(self) -> Scheme:
        """Vault, key context, label and row binding, worked out once the field has its model."""
        return Scheme(self)

    @property
    def label(self) -> str:
        """The name that this field's values are sealed for."""
        return self.scheme.label

    @property
    def labels(self) -> tuple[str, ...]:
        """The label, and those before it."""
        return self.scheme.labels

    @property
    def vault(self) -> Vault:
        """The configured vault that keeps this field's keys."""
        return self.scheme.vault

    def context_for(self, instance: Model | None) -> KeyContext:
        """Return the key context for a value of ``instance``. Raises FieldError where it takes a row."""
        return self.scheme.context_for(instance)

    # What an instance holds

    def held_by(self, instance: Model) -> Any:
        """Return what ``instance`` holds, opening and fetching nothing. What was deferred is loaded."""
        raise NotImplementedError

    def row_changed(self, held: Withheld, instance: Model) -> bool:
        """Whether the program moved the row since ``held`` was sealed, so that it must be sealed anew."""
        if held.row is None:
            return False
        if self.scheme.lacks(held.row, instance):
            held.complete(instance)
        return self.scheme.has_moved(held.row, instance)

    def before_row_write(self, instance: Model, using: str) -> None:
        """Called before a table of the row is written to the database ``using``, in a raw save too."""

    def after_row_write(self, instance: Model, using: str) -> None:
        """Called once that table is written; its transaction may still be under way."""

    # What is shown in the place of a value

    def masked(self, held: Any) -> str:
        """Return the mask of what an instance holds (not None). Raises what opening a cell raises.

        The mask ``full`` opens nothing.
        """
        return masks.masked(self.mask, held.open if isinstance(held, Withheld) else lambda: held)

    def masked_or_marked(self, held: Any) -> str:
        """Return :meth:`masked`, or "cannot be opened"."""
        try:
            return self.masked(held)
        except (DecryptionForbidden, EnvelopeError, VaultError):
            return str(UNREADABLE)

    def masked_of(self, instance: Model) -> str | None:
        """Return what is shown in the place of the value that ``instance`` has; None for NULL."""
        held = self.held_by(instance)
        return None if held is None else self.masked_or_marked(held)

    # Forms

    def formfield(self, **kwargs: Any) -> Any:
        form_field = super().formfield(**kwargs)
        return None if form_field is None else keep_cells(form_field, self)

    @leaves_no_locals
    def value_from_object(self, obj: Model) -> Any:
        """Return the value; what stands for it when it cannot be had, and where it is to stay sealed."""
        if dumps_cells(self):
            return self.value_to_dump(obj)
        held = self.held_by(obj)
        if not isinstance(held, Withheld) or cells_are_to_stay_sealed():
            return held
        try:
            return held.open(obj)
        except (EnvelopeError, VaultError):
            return held

    # Fixtures

    def value_to_dump(self, obj: Model) -> Any:
        """Return what Django's serializers get: what is stored, never the value."""
        raise NotImplementedError

    def take_serialized(self, instance: Model) -> None:
        """In a raw save: turn the text of a cell that a fixture has for ``instance`` into the cell."""

    def load_serialized(self, instance: Model) -> None:
        """In a raw save, after all :meth:`take_serialized`: seal, or store, the value that a fixture has."""
        raise NotImplementedError
