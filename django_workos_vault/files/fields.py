"""Model fields whose files are sealed: drop-in for Django's, over any storage."""

import posixpath
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from django.core import checks
from django.core.exceptions import FieldError
from django.core.files.storage import Storage
from django.db.models import FileField, ImageField, Model, QuerySet
from django.db.models.fields.files import FieldFile, ImageFieldFile

from django_workos_vault.context import KeyContext
from django_workos_vault.fields.django_internals.files import is_unsaved, note_saved, refuse_none
from django_workos_vault.fields.django_internals.frames import looks_for_renames
from django_workos_vault.fields.scheme import Scheme
from django_workos_vault.files import moves
from django_workos_vault.files.checks import FileFieldChecks
from django_workos_vault.files.row_sealing import RowSealing
from django_workos_vault.files.sealed_storage import SealedStorage
from django_workos_vault.streams.padding import Padding, check_padding
from django_workos_vault.vault import Vault


class EncryptedFieldFile(FieldFile):
    """A row's file: Django's, with the plaintext's size, and sealed for its row."""

    @property
    def storage(self) -> SealedStorage:
        """The field's storage, which seals and opens for this row."""
        field: Any = self.field
        return SealedStorage(field.storage, RowSealing(field, self.instance))

    @storage.setter
    def storage(self, storage: Storage) -> None:
        """Django gives the field's, which is asked for itself."""

    @property
    def original_name(self) -> str:
        """The name that was sealed with the file, without folders."""
        if is_unsaved(self):
            return posixpath.basename(str(self.name))
        refuse_none(self)
        with self.storage.opened(str(self.name)) as file:
            return file.original_name

    async def aopen(self) -> "EncryptedFieldFile":
        """``open()`` for async code. What was opened is read with ``async for piece in row.file.file``."""
        refuse_none(self)
        if not is_unsaved(self):
            self.close()
            self.file = await self.storage.aopen(str(self.name))
        return self

    def save(self, name: str, content: Any, save: bool = True) -> None:
        """Store ``content``, sealed for the row, with the last part of ``name`` in its header."""
        original = posixpath.basename(str(name).replace("\\", "/"))
        generated = self.field.generate_filename(self.instance, name)
        self.name = self.storage.save(
            generated, content, max_length=self.field.max_length, original_name=original
        )
        note_saved(self, content)
        if save:
            self.instance.save()

    save.alters_data = True  # type: ignore[attr-defined]


class EncryptedImageFieldFile(EncryptedFieldFile, ImageFieldFile):
    """The same for images."""


class EncryptedFileField(FileField):
    """Django's FileField over any storage; what the storage gets is sealed.

    ``vault``, ``key_context`` (with ``FromRow``), ``label``, ``previous_labels`` and ``bind_to`` are as for
    encrypted columns. ``padding`` is ``"padme"``, a block size in bytes, or None. With ``conceal_names``
    files get random names on the storage. ``url_name`` is a URL pattern that takes the row's primary key,
    and serves its file.
    """

    attr_class = EncryptedFieldFile
    previous_bind_to: tuple[tuple[str, ...], ...] = ()

    def __init__(
        self,
        verbose_name: Any = None,
        name: str | None = None,
        *args: Any,
        vault: str = "default",
        key_context: dict[str, Any] | None = None,
        label: str | None = None,
        previous_labels: tuple[str, ...] = (),
        bind_to: tuple[str, ...] = (),
        padding: Padding | None = None,
        conceal_names: bool = False,
        url_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_padding(padding)
        self.vault_alias = vault
        self.key_context = key_context
        self.explicit_label = label
        self.previous_labels = tuple(previous_labels)
        self.bind_to = tuple(bind_to)
        self.padding = padding
        self.conceal_names = conceal_names
        self.url_name = url_name
        super().__init__(verbose_name, name, *args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        if path.startswith(f"{__package__}."):
            path = f"{__package__}.{type(self).__qualname__}"  # migrations do not depend on our files
        if looks_for_renames():
            return name, path, args, kwargs
        for option, value, default in (
            ("vault", self.vault_alias, "default"),
            ("key_context", self.key_context, None),
            ("label", self.explicit_label, None),
            ("previous_labels", self.previous_labels, ()),
            ("bind_to", self.bind_to, ()),
            ("padding", self.padding, None),
            ("conceal_names", self.conceal_names, False),
            ("url_name", self.url_name, None),
        ):
            if value != default:
                kwargs[option] = value
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *FileFieldChecks(self).messages()]

    def contribute_to_class(self, cls: type[Model], name: str, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop("scheme", None)  # that of the abstract model which the field comes from
        super().contribute_to_class(cls, name, *args, **kwargs)
        if self.bind_to:
            moves.watch_moves(cls)

    def refuse_move(self, rows: QuerySet[Any], names: Iterable[str]) -> None:
        """Raise FieldError when writing the columns ``names`` of ``rows`` would part files from rows."""
        written = {rows.model._meta.pk.name if name == "pk" else name for name in names}
        moved = [c.name for c in self.scheme.bound_columns if {c.name, c.attname} & written]
        if moved and rows.exclude(**{self.attname: ""}).exclude(**{self.attname: None}).exists():
            raise self._cannot_move(moved)

    def refuse_move_of(self, instance: Model, names: Iterable[str]) -> None:
        """The same for one row, which holds other values already."""
        moved = moves.FileOfRow(self, instance).moved(frozenset(names))
        if moved and getattr(instance, self.attname):
            raise self._cannot_move(moved)

    def _cannot_move(self, moved: list[str]) -> FieldError:
        return FieldError(
            f"{self} is bound to {', '.join(moved)}: only save() seals a file anew. Save these rows one by "
            "one."
        )

    @cached_property
    def scheme(self) -> Scheme:
        """What files are sealed for: vault, key context, label and row binding."""
        return Scheme(self)

    @property
    def vault(self) -> Vault:
        """The configured vault that keeps the keys of this field's files."""
        return self.scheme.vault

    def context_for(self, instance: Model | None) -> KeyContext:
        """Return the key context for a file of ``instance``."""
        return self.scheme.context_for(instance)

    @property
    def label(self) -> str:
        """The name that this field's files are sealed for."""
        return self.scheme.label

    def relabel(self, label: str, previous_labels: tuple[str, ...]) -> None:
        """Let this field of a migration's model seal for ``label`` and open ``previous_labels`` as well."""
        self.explicit_label = label
        self.previous_labels = tuple(dict.fromkeys((*self.previous_labels, *previous_labels)))
        self.__dict__.pop("scheme", None)


class EncryptedImageField(EncryptedFileField, ImageField):
    """Django's ImageField in the same way. Width and height, where a model keeps them, are in clear."""

    attr_class = EncryptedImageFieldFile
