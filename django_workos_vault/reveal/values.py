"""A value as the text that is shown of it, and whether somebody's words say the same."""

import hmac
import json
from contextlib import suppress
from hashlib import sha256
from typing import Any

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DataError
from django.db.models import BooleanField, JSONField
from django.utils.timezone import localtime

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.frame_locals import leaves_no_locals


class Wording:
    """How the values of one field are shown, and said."""

    def __init__(self, field: Any) -> None:
        self._field = field

    @leaves_no_locals
    def of(self, value: Any) -> str:
        """Return what is shown of a value, not None: JSON indented, bytes in hex, choices by their name.

        What no page can carry (half of a surrogate pair, which JSON may hold) is escaped.
        """
        return self._text(value).encode(errors="backslashreplace").decode()

    def _text(self, value: Any) -> str:
        field = self._field
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value).hex(" ")
        if isinstance(field, JSONField) or not isinstance(field, EncryptedField):
            if isinstance(value, str) and not isinstance(field, JSONField):
                return value
            encoder: Any = getattr(field, "encoder", None) or DjangoJSONEncoder
            return json.dumps(value, indent=2, ensure_ascii=False, cls=encoder)
        if field.choices:
            return str(dict(field.flatchoices).get(value, value))
        if getattr(value, "tzinfo", None) is not None and hasattr(value, "date"):
            with suppress(OverflowError):  # the first and the last day have no other time zones
                value = localtime(value)
        return str(value)

    @leaves_no_locals
    def is_said(self, said: str, value: Any) -> bool:
        """Whether ``said``, as somebody types it into the field's form, is ``value``. In constant time."""
        try:
            expected, entered = self._bytes_of(value), self._bytes_of(self._cleaned(said))
        except (ValidationError, ArithmeticError, DataError, RecursionError, TypeError, ValueError):
            return False  # what the field cannot hold is no value of it
        # Hashes, as compare_digest() tells lengths apart.
        return hmac.compare_digest(sha256(expected).digest(), sha256(entered).digest())

    def _cleaned(self, said: str) -> Any:
        field = self._field
        if not isinstance(field, EncryptedField):
            return said
        form_field = field.formfield() if field.editable else None
        if form_field is not None and not isinstance(field, BooleanField):  # for a form, any word is yes
            return field.to_python(form_field.to_python(said))
        return field.to_python(said)

    def _bytes_of(self, value: Any) -> bytes:
        if not isinstance(self._field, EncryptedField):
            return _object_text(value).encode()
        encoded: bytes = self._field.encoding.equal(self._field.get_prep_value(value))
        return encoded


def _object_text(value: Any) -> str:
    if isinstance(value, str):
        try:  # what stands in Vault as JSON is said as JSON, in whatever order
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    return json.dumps(value, sort_keys=True)
