"""A cell as text, for fixtures. Text is taken for a cell in raw saves only, never anywhere else."""

import base64
import binascii
from typing import Any

from django.core.serializers.base import DeserializationError

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
