"""Encrypted text. The cell is as long as the text, unless ``pad_to`` or ``choices`` say otherwise."""

from typing import Any

from django.db import models

from django_workos_vault.fields.base import EncryptedFieldMixin


class EncryptedCharField(EncryptedFieldMixin, models.CharField):
    """Encrypted twin of :class:`django.db.models.CharField`. ``max_length`` counts plaintext characters."""


class EncryptedTextField(EncryptedFieldMixin, models.TextField):
    """Encrypted twin of :class:`django.db.models.TextField`."""


class EncryptedEmailField(EncryptedFieldMixin, models.EmailField):
    """Encrypted twin of :class:`django.db.models.EmailField`."""


class EncryptedURLField(EncryptedFieldMixin, models.URLField):
    """Encrypted twin of :class:`django.db.models.URLField`."""


class EncryptedSlugField(EncryptedFieldMixin, models.SlugField):
    """Encrypted twin of :class:`django.db.models.SlugField`, without the index that it has by default."""

    def __init__(self, *args: Any, db_index: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, db_index=db_index, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_index", None)  # SlugField names what differs from its own default, not from ours
        if self.db_index:
            kwargs["db_index"] = True
        return name, path, args, kwargs
