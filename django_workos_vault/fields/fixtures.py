"""A cell as text, for fixtures. Text is taken for a cell in raw saves only, never anywhere else."""

import base64
import binascii
import json
import warnings
from typing import Any

from django.core.serializers.base import DeserializationError, Deserializer, SerializationError, Serializer
from django.core.serializers.xml_serializer import Deserializer as XMLDeserializer
from django.core.serializers.xml_serializer import Serializer as XMLSerializer

from django_workos_vault import conf
from django_workos_vault.fields.django_internals.frames import at_work

PREFIX = "workos-vault-cell:"


def cell_to_text(cell: bytes) -> str:
    """Return ``cell`` as it stands in a fixture."""
    return PREFIX + base64.b64encode(cell).decode()


def text_to_cell(value: Any) -> bytes | None:
    """Return the cell that a fixture's ``value`` is the text of, or None when it is plaintext.

    Raises DeserializationError when it begins like a cell and is none.
    """
    if not looks_like_cell(value):
        return None
    try:
        return base64.b64decode(value.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise DeserializationError("The fixture holds a serialized cell that is not base64.") from None


def looks_like_cell(value: Any) -> bool:
    """Whether ``value`` is a text that loading a fixture would take for a cell."""
    return isinstance(value, str) and value.startswith(PREFIX)


def is_serialized_cell(value: str) -> bool:
    """Whether ``value`` is a cell's text that one of Django's deserializers is reading right now."""
    return value.startswith(PREFIX) and at_work(Deserializer) is not None


def json_from_xml(value: Any, decoder: type[json.JSONDecoder] | None) -> Any:
    """Return what a JSON field's ``value`` means in a fixture: XML has JSON as text."""
    if not (isinstance(value, str) and isinstance(at_work(Deserializer), XMLDeserializer)):
        return value
    try:
        return json.loads(value, cls=decoder)
    except ValueError:
        pass  # it quotes the text
    raise DeserializationError("The fixture holds a JSON field's value that is not JSON.")


def dumps_cells(field: Any) -> bool:
    """Whether one of Django's serializers is at work, further up the stack, and shall get ciphertext.

    With the setting for plaintext dumps it gets plaintext, and whoever runs it a warning.
    """
    if at_work(Serializer) is None:
        return False
    if conf.dumps_plaintext():
        warnings.warn(f"{field} is dumped as plaintext: {conf.DUMP_PLAINTEXT} is on.", stacklevel=2)
        return False
    return True


def serializer_at_work() -> bool:
    """Whether one of Django's serializers is at work, further up the stack."""
    return at_work(Serializer) is not None


def writes_xml() -> bool:
    """Whether the serializer at work is the one of XML."""
    return isinstance(at_work(Serializer), XMLSerializer)


def cannot_dump(field: Any, pk: Any) -> SerializationError:
    """Return the error for a value that cannot be opened, and so stands in no dump of plaintext."""
    return SerializationError(
        f"{field} of row {pk} cannot be opened, and {conf.DUMP_PLAINTEXT} is on. What was written so far is "
        "not a whole dump, and holds plaintext: delete it. A dump without the setting keeps the cell as it "
        "is; vault_check --all lists every such row."
    )
