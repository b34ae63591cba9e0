"""The column of a :class:`VaultObjectField`: which references it holds, and what an instance holds for them.

What reads, writes, proves and deletes the objects of a field knows this much of the field.
"""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.utils.translation import gettext_lazy as _

from django_workos_vault.backends.objects import ObjectVersion
from django_workos_vault.fields.object_attribute import ObjectAttribute
from django_workos_vault.fields.object_encoding import Encoded, encode
from django_workos_vault.fields.object_parts import MAX_VALUE_BYTES
from django_workos_vault.fields.object_scheme import FieldInVault
from django_workos_vault.fields.object_value import Assigned, StoredObject
from django_workos_vault.frame_locals import leaves_no_locals


class ObjectColumn(FieldInVault, Field):
    """A field whose values live in Vault."""

    descriptor_class = ObjectAttribute

    def get_internal_type(self) -> str:
        return "CharField"

    @leaves_no_locals
    def encoded(self, value: Any) -> Encoded:
        """Return what to store for ``value``.

        Raises ValidationError when JSON cannot hold it, or when it is larger than what is kept in Vault.
        """
        problem = ""
        try:
            encoded = encode(value)
            size = encoded.size
        except UnicodeEncodeError:
            problem = "The text is not valid Unicode."
        except (TypeError, ValueError) as exc:
            problem = str(exc)
        if problem:
            raise ValidationError(problem, code="invalid")
        if size > MAX_VALUE_BYTES:
            raise ValidationError(
                _(
                    "This value has %(size)d bytes; in Vault at most %(most)d are kept. Keep values of this "
                    "size in an encrypted field (EncryptedTextField, EncryptedJSONField, ...) or a file."
                ),
                code="too_large",
                params={"size": size, "most": MAX_VALUE_BYTES},
            )
        return encoded

    def raw_value(self, instance: Model) -> Any:
        """Return what ``instance`` holds: None, StoredObject or Assigned. What was deferred is loaded."""
        if self.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.attname])
        return instance.__dict__[self.attname]

    def held_by(self, instance: Model) -> Any:
        """Return the assigned value, or what stands for the stored one, fetching nothing."""
        held = self.raw_value(instance)
        return held.value if isinstance(held, Assigned) else held

    def history_of(self, instance: Model) -> tuple[ObjectVersion, ...]:
        """Return the stored object's versions in Vault's order; none for NULL.

        Raises UntrustedReference and VaultError.
        """
        stored = self.stored_in(instance)
        if stored is None:
            return ()
        backend, object_id, context = self.vault.backend, stored.reference.id, stored.prove(instance)
        self.scheme.check_answer(object_id, backend.describe_object(object_id), context)
        return backend.list_object_versions(object_id)

    async def ahistory_of(self, instance: Model) -> tuple[ObjectVersion, ...]:
        """:meth:`history_of` for async code."""
        stored = self.stored_in(instance)
        if stored is None:
            return ()
        backend, object_id = self.vault.backend, stored.reference.id
        context = await stored.aprove(instance)
        self.scheme.check_answer(object_id, await backend.adescribe_object(object_id), context)
        return await backend.alist_object_versions(object_id)

    def stored_in(self, instance: Model) -> StoredObject | None:
        """Return what stands for the stored value, also where another was assigned. None for NULL."""
        held = self.raw_value(instance)
        return held.base if isinstance(held, Assigned) else held


def object_fields(fields: "Iterable[Field[Any, Any]]") -> list[ObjectColumn]:
    """Return those of ``fields`` whose values live in Vault."""
    return [field for field in fields if isinstance(field, ObjectColumn)]
