"""Encrypted UUIDs, addresses, JSON and bytes."""

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.checks import CheckMessage
from django.db import models

from django_workos_vault.fields.base import EncryptedFieldMixin


class UUIDEncoding(EncryptedFieldMixin):
    """The sixteen bytes of RFC 9562."""

    varies_in_length = False

    def encode(self, value: UUID) -> bytes:
        return value.bytes

    def decode(self, plaintext: bytes) -> Any:
        return UUID(bytes=plaintext)


class IPAddressEncoding(EncryptedFieldMixin):
    """The version (4 or 6) in one byte, then the address in sixteen, an IPv4 one in the last four of them."""

    varies_in_length = False

    def get_prep_value(self, value: Any) -> Any:
        return super().get_prep_value(value) or None  # as Django's columns: no empty addresses

    def encode(self, value: str) -> bytes:
        address = ip_address(value)
        if getattr(address, "scope_id", None):
            raise ValueError("an address with a scope has no packed form")
        return bytes((address.version,)) + address.packed.rjust(16, b"\x00")

    def decode(self, plaintext: bytes) -> Any:
        version, packed = plaintext[0], plaintext[1:]
        if len(packed) != 16 or version not in (4, 6) or (version == 4 and any(packed[:12])):
            raise ValueError("no address")
        return self.to_python(str(ip_address(packed[12:] if version == 4 else packed)))


class JSONEncoding(EncryptedFieldMixin):
    """JSON text in UTF-8, by the field's ``encoder`` and ``decoder``."""

    if TYPE_CHECKING:
        encoder: type[json.JSONEncoder] | None
        decoder: type[json.JSONDecoder] | None

    def encode(self, value: Any) -> bytes:
        return json.dumps(value, cls=self.encoder).encode()

    def decode(self, plaintext: bytes) -> Any:
        return json.loads(plaintext.decode(), cls=self.decoder)

    def _check_supported(self, databases: Any) -> list[CheckMessage]:
        return []  # the database need not know JSON


class BinaryEncoding(EncryptedFieldMixin):
    """The bytes themselves. ``bytes`` come back for any bytes-like object."""

    def encode(self, value: Any) -> bytes:
        return memoryview(value).tobytes()

    def decode(self, plaintext: bytes) -> Any:
        return plaintext


class EncryptedUUIDField(UUIDEncoding, models.UUIDField):
    """Encrypted twin of :class:`django.db.models.UUIDField`."""


class EncryptedGenericIPAddressField(IPAddressEncoding, models.GenericIPAddressField):
    """Encrypted twin of :class:`django.db.models.GenericIPAddressField`."""


class EncryptedJSONField(JSONEncoding, models.JSONField):
    """Encrypted twin of :class:`django.db.models.JSONField`."""


class EncryptedBinaryField(BinaryEncoding, models.BinaryField):
    """Encrypted twin of :class:`django.db.models.BinaryField`."""
