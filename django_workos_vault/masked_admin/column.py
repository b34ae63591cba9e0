"""What lists and read-only pages show of one encrypted field."""

from typing import Any

from django.db.models import Model
from django.db.models.constants import LOOKUP_SEP
from django.utils.html import format_html

from django_workos_vault.exceptions import DecryptionForbidden, EnvelopeError, VaultError, is_outage
from django_workos_vault.fields.masking import UNREADABLE
from django_workos_vault.fields.vault_field import VaultField


class MaskedColumn:
    """Called with an instance.

    ``path`` is the field's name, or a ``relation__field`` path from the instance.
    """

    admin_order_field = None

    def __init__(self, field: VaultField, path: str, empty: Any) -> None:
        self.__name__ = path
        self.short_description = field.verbose_name
        self._field = field
        self._path = path
        self._empty = empty
        self._no_use = False

    def __call__(self, instance: Model) -> Any:
        holder: Any = instance
        for step in self._path.split(LOOKUP_SEP)[:-1]:
            holder = getattr(holder, step, None)
        held = None if holder is None else self._field.held_by(holder)
        if held is None:
            return self._empty
        try:
            if self._no_use:
                return _marker()
            return self._field.masked(held)
        except (DecryptionForbidden, EnvelopeError, VaultError) as exc:
            self._no_use = is_outage(exc)  # or a page of rows would wait for Vault once a row
            return _marker()


def _marker() -> Any:
    return format_html("<em>{}</em>", UNREADABLE)
