"""The encrypted twins of Django's fields: same arguments, validation and forms, over a column of cells."""

from typing import Any

from django.db import models

from django_workos_vault.fields.field import EncryptedFieldMixin


class EncryptedBigIntegerField(EncryptedFieldMixin, models.BigIntegerField):
    """Encrypted twin of :class:`django.db.models.BigIntegerField`."""


class EncryptedBinaryField(EncryptedFieldMixin, models.BinaryField):
    """Encrypted twin of :class:`django.db.models.BinaryField`. Values are ``bytes``."""


class EncryptedBooleanField(EncryptedFieldMixin, models.BooleanField):
    """Encrypted twin of :class:`django.db.models.BooleanField`."""


class EncryptedCharField(EncryptedFieldMixin, models.CharField):
    """Encrypted twin of :class:`django.db.models.CharField`. ``max_length`` counts plaintext characters."""


class EncryptedDateField(EncryptedFieldMixin, models.DateField):
    """Encrypted twin of :class:`django.db.models.DateField`."""


class EncryptedDateTimeField(EncryptedFieldMixin, models.DateTimeField):
    """Encrypted twin of :class:`django.db.models.DateTimeField`."""


class EncryptedDecimalField(EncryptedFieldMixin, models.DecimalField):
    """Encrypted twin of :class:`django.db.models.DecimalField`."""


class EncryptedDurationField(EncryptedFieldMixin, models.DurationField):
    """Encrypted twin of :class:`django.db.models.DurationField`."""


class EncryptedEmailField(EncryptedFieldMixin, models.EmailField):
    """Encrypted twin of :class:`django.db.models.EmailField`."""


class EncryptedFloatField(EncryptedFieldMixin, models.FloatField):
    """Encrypted twin of :class:`django.db.models.FloatField`."""


class EncryptedGenericIPAddressField(EncryptedFieldMixin, models.GenericIPAddressField):
    """Encrypted twin of :class:`django.db.models.GenericIPAddressField`."""


class EncryptedIntegerField(EncryptedFieldMixin, models.IntegerField):
    """Encrypted twin of :class:`django.db.models.IntegerField`."""


class EncryptedJSONField(EncryptedFieldMixin, models.JSONField):
    """Encrypted twin of :class:`django.db.models.JSONField`."""


class EncryptedPositiveBigIntegerField(EncryptedFieldMixin, models.PositiveBigIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveBigIntegerField`."""


class EncryptedPositiveIntegerField(EncryptedFieldMixin, models.PositiveIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveIntegerField`."""


class EncryptedPositiveSmallIntegerField(EncryptedFieldMixin, models.PositiveSmallIntegerField):
    """Encrypted twin of :class:`django.db.models.PositiveSmallIntegerField`."""


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


class EncryptedSmallIntegerField(EncryptedFieldMixin, models.SmallIntegerField):
    """Encrypted twin of :class:`django.db.models.SmallIntegerField`."""


class EncryptedTextField(EncryptedFieldMixin, models.TextField):
    """Encrypted twin of :class:`django.db.models.TextField`."""


class EncryptedTimeField(EncryptedFieldMixin, models.TimeField):
    """Encrypted twin of :class:`django.db.models.TimeField`."""


class EncryptedURLField(EncryptedFieldMixin, models.URLField):
    """Encrypted twin of :class:`django.db.models.URLField`."""


class EncryptedUUIDField(EncryptedFieldMixin, models.UUIDField):
    """Encrypted twin of :class:`django.db.models.UUIDField`."""
