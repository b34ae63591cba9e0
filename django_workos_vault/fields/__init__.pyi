"""The types of the fields, for type checkers: Django's fields are generic in their stubs, and there alone.

Each class names the Django field first, because a checker takes an attribute's type from the first base.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.db import models

from django_workos_vault.blind import Kind
from django_workos_vault.fields.bulk import aload_keys as aload_keys
from django_workos_vault.fields.bulk import load_keys as load_keys
from django_workos_vault.fields.cell import stored_cell as stored_cell
from django_workos_vault.fields.defaults import DefaultOf as DefaultOf
from django_workos_vault.fields.field import EncryptedFieldMixin
from django_workos_vault.fields.object_field import VaultObjectField as VaultObjectField
from django_workos_vault.fields.object_history import adopt_object as adopt_object
from django_workos_vault.fields.object_history import aobject_history as aobject_history
from django_workos_vault.fields.object_history import object_history as object_history
from django_workos_vault.fields.object_reference import ObjectReference as ObjectReference
from django_workos_vault.fields.object_value import aload_objects as aload_objects
from django_workos_vault.fields.rows import FromRow as FromRow
from django_workos_vault.fields.wrap import encrypted as encrypted
from django_workos_vault.fields.wrap import encrypted_twin as encrypted_twin

_ST = TypeVar("_ST", contravariant=True)
_GT = TypeVar("_GT", covariant=True)

class _Arguments:
    def __init__(
        self,
        *args: Any,
        null: bool = ...,
        default: Any = ...,
        vault: str = ...,
        key_context: dict[str, Any] | None = ...,
        mask: str = ...,
        bind_to: tuple[str, ...] = ...,
        previous_bind_to: tuple[tuple[str, ...], ...] = ...,
        blind_indexes: Sequence[Kind | None] = ...,
        pad_to: int = ...,
        label: str | None = ...,
        previous_labels: tuple[str, ...] = ...,
        **kwargs: Any,
    ) -> None: ...

class EncryptedBigIntegerField(_Arguments, models.BigIntegerField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedBinaryField(_Arguments, models.BinaryField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedBooleanField(_Arguments, models.BooleanField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedCharField(_Arguments, models.CharField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedDateField(_Arguments, models.DateField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedDateTimeField(_Arguments, models.DateTimeField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedDecimalField(_Arguments, models.DecimalField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedDurationField(_Arguments, models.DurationField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedEmailField(_Arguments, models.EmailField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedFloatField(_Arguments, models.FloatField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedGenericIPAddressField(
    _Arguments, models.GenericIPAddressField[_ST, _GT], EncryptedFieldMixin
): ...
class EncryptedIntegerField(_Arguments, models.IntegerField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedJSONField(_Arguments, models.JSONField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedPositiveBigIntegerField(
    _Arguments, models.PositiveBigIntegerField[_ST, _GT], EncryptedFieldMixin
): ...
class EncryptedPositiveIntegerField(
    _Arguments, models.PositiveIntegerField[_ST, _GT], EncryptedFieldMixin
): ...
class EncryptedPositiveSmallIntegerField(
    _Arguments, models.PositiveSmallIntegerField[_ST, _GT], EncryptedFieldMixin
): ...
class EncryptedSlugField(_Arguments, models.SlugField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedSmallIntegerField(_Arguments, models.SmallIntegerField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedTextField(_Arguments, models.TextField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedTimeField(_Arguments, models.TimeField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedURLField(_Arguments, models.URLField[_ST, _GT], EncryptedFieldMixin): ...
class EncryptedUUIDField(_Arguments, models.UUIDField[_ST, _GT], EncryptedFieldMixin): ...
