"""What an encoding is, and the two that change nothing: text and bytes."""

from collections.abc import Callable
from typing import Any

Prepare = Callable[[Any], Any]


class Encoding:
    """What all encodings have in common."""

    #: Whether plaintexts of this type differ in length.
    varies_in_length = True

    def prepare(self, value: Any, prepare: Prepare) -> Any:
        """Return a value as :meth:`encode` takes it; ``prepare`` is the Django field's ``get_prep_value()``.

        Raises what the field's ``to_python()`` raises.
        """
        return prepare(value)

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal for a prepared value.

        Raises DataError when it is outside of what the column could hold, TypeError or ValueError when it is
        no value of this type.
        """
        raise NotImplementedError

    def equal(self, value: Any) -> bytes:
        """Return bytes that prepared values have in common which the Django field's column calls equal."""
        return self.encode(value)

    def decode(self, plaintext: bytes) -> Any:
        """Return the Python value of :meth:`encode`'s bytes. Raises any exception when they are none."""
        raise NotImplementedError


class Text(Encoding):
    """UTF-8, as long as the text is."""

    def encode(self, value: Any) -> bytes:
        return str(value).encode()

    decode = staticmethod(bytes.decode)  # type: ignore[assignment]  # no call of Python code for a text


class Binary(Encoding):
    """The bytes themselves. ``bytes`` come back for any bytes-like object."""

    def encode(self, value: Any) -> bytes:
        return memoryview(value).tobytes()

    def decode(self, plaintext: bytes) -> Any:
        return plaintext
