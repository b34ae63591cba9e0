"""A cell as text, for fixtures. Text is taken for a cell in raw saves only, never anywhere else."""

import base64
import binascii
import sys
import warnings
from types import FrameType
from typing import TYPE_CHECKING, Any

from django.core.serializers.base import DeserializationError, Deserializer, Serializer

from django_workos_vault import conf

if TYPE_CHECKING:
    from django_workos_vault.fields.vaulted import VaultFieldMixin

PREFIX = "workos-vault-cell:"


def cell_to_text(cell: bytes) -> str:
    """Return ``cell`` as it stands in a fixture."""
    return PREFIX + base64.b64encode(cell).decode()


def text_to_cell(value: Any) -> bytes | None:
    """Return the cell that a fixture's ``value`` is the text of, or None when it is plaintext.

    Raises DeserializationError when it begins like a cell and is none.
    """
    if not (isinstance(value, str) and value.startswith(PREFIX)):
        return None
    try:
        return base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise DeserializationError("The fixture holds a serialized cell that is not base64.") from None


def is_serialized_cell(value: str) -> bool:
    """Whether ``value`` is a cell's text that one of Django's deserializers is reading right now."""
    frame: FrameType | None = sys._getframe(2) if value.startswith(PREFIX) else None
    while frame is not None and not isinstance(frame.f_locals.get("self"), Deserializer):
        frame = frame.f_back
    return frame is not None


def dumps_cells(field: "VaultFieldMixin") -> bool:
    """Whether one of Django's serializers is at work, further up the stack, and shall get ciphertext.

    With the setting for plaintext dumps it gets plaintext, and whoever runs it a warning.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not Serializer.serialize.__code__:
        frame = frame.f_back
    if frame is None:
        return False
    if conf.dumps_plaintext():
        warnings.warn(f"{field} is dumped as plaintext: {conf.DUMP_PLAINTEXT} is on.", stacklevel=2)
        return False
    return True
