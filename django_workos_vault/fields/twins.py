"""The encrypted twins of Django's fields: same arguments, validation and forms, over a column of cells."""

from typing import Any

from django.db import models

from django_workos_vault.fields.field import EncryptedField


class EncryptedBigIntegerField(EncryptedField, models.BigIntegerField):
    """Encrypted twin of :class:`django.db.models.BigIntegerField`."""


class EncryptedBinaryField(EncryptedField, models.BinaryField):
    """Encrypted twin of :class:`django.db.models.BinaryField`. Values are ``bytes``."""


class EncryptedBooleanField(EncryptedField, models.BooleanField):
    """Encrypted twin of :class:`django.db.models.BooleanField`."""


class EncryptedCharField(EncryptedField, models.CharField):
    """Encrypted twin of :class:`django.db.models.CharField`. ``max_length`` counts plaintext characters."""


class EncryptedDateField(EncryptedField, models.DateField):
    """Encrypted twin of :class:`django.db.models.DateField`."""


class EncryptedDateTimeField(EncryptedField, models.DateTimeField):
    """Encrypted twin of :class:`django.db.models.DateTimeField`."""


class EncryptedDecimalField(EncryptedField, models.DecimalField):
    """Encrypted twin of :class:`django.db.models.DecimalField`."""


class EncryptedDurationField(EncryptedField, models.DurationField):
    """Encrypted twin of :class:`django.db.models.DurationField`."""


class EncryptedEmailField(EncryptedField, models.EmailField):
    """Encrypted twin of :class:`django.db.models.EmailField`."""


class EncryptedFloatField(EncryptedField, models.FloatField):
    """Encrypted twin of :class:`django.db.models.FloatField`."""


class EncryptedGenericIPAddressField(EncryptedField, models.GenericIPAddressField):
    """Encrypted twin of :class:`django.db.models.GenericIPAddressField`."""


class EncryptedIntegerField(EncryptedField, models.IntegerField):
    """Encrypted twin of :class:`django.db.models.IntegerField`."""


class EncryptedJSONField(EncryptedField, models.JSONField):
    """Encrypted twin of :class:`django.db.models.JSONField`."""


class EncryptedPositiveBigIntegerField(EncryptedField, models.PositiveBigIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveBigIntegerField`."""


class EncryptedPositiveIntegerField(EncryptedField, models.PositiveIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveIntegerField`."""


class EncryptedPositiveSmallIntegerField(EncryptedField, models.PositiveSmallIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveSmallIntegerField`."""


class EncryptedSlugField(EncryptedField, models.SlugField):
    """Encrypted twin of :class:`django.db.models.SlugField`, without the index that it has by default."""

    def __init__(self, *args: Any, db_index: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, db_index=db_index, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_index", None)  # SlugField names what differs from its own default, not from ours
        if getattr(self, "db_index"):  # noqa: B009 -- the stubs do not know it
            kwargs["db_index"] = True
        return name, path, args, kwargs


class EncryptedSmallIntegerField(EncryptedField, models.SmallIntegerField):
    """Encrypted twin of :class:`django.db.models.SmallIntegerField`."""


class EncryptedTextField(EncryptedField, models.TextField):
    """Encrypted twin of :class:`django.db.models.TextField`."""


class EncryptedTimeField(EncryptedField, models.TimeField):
    """Encrypted twin of :class:`django.db.models.TimeField`."""


class EncryptedURLField(EncryptedField, models.URLField):
    """Encrypted twin of :class:`django.db.models.URLField`."""


class EncryptedUUIDField(EncryptedField, models.UUIDField):
    """Encrypted twin of :class:`django.db.models.UUIDField`."""
