"""What bytes are sealed for a value, and which value they are again."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import CharField, Field, TextField

from django_workos_vault.fields.plaintext import PlaintextMixin
from django_workos_vault.fields.sealed import opened
from django_workos_vault.traces import leaves_no_locals

if TYPE_CHECKING:
    _Field = Field[Any, Any]
else:
    _Field = object


class EncodingMixin(_Field):
    """Encodes and decodes plaintexts. Fields of other types than text override both."""

    if TYPE_CHECKING:
        pad_to: int

    #: Whether plaintexts of this type differ in length.
    varies_in_length = True

    def encode(self, value: Any) -> bytes:
        """Return the bytes to seal for what :meth:`get_prep_value` made of a value.

        Raises DataError when it is outside of what the column could hold, TypeError or ValueError when it is
        no value of this type.
        """
        return str(value).encode()

    def decode(self, plaintext: bytes) -> Any:
        """Return the Python value of :meth:`encode`'s bytes. Raises any exception when they are none."""
        return plaintext.decode()

    @property
    def decodes(self) -> Callable[[bytes], Any]:
        """:meth:`decode`; for text, what it comes to without a call of Python code."""
        return bytes.decode if type(self).decode is EncodingMixin.decode else self.decode

    @leaves_no_locals
    def encoded(self, value: Any) -> bytes | None:
        """Return the bytes to seal for any value that the Django field takes, None where it stores NULL.

        Raises what Django's field or the database would, without quoting the value: errors go to logs.
        """
        return self._encoded(value)

    def _encoded(self, value: Any) -> bytes | None:
        if type(value) is not str:
            value = opened(value)
        try:
            if self.keeps_strings and type(value) is str:
                return value.encode()
            prepared = self.get_prep_value(value)
            return None if prepared is None else self.encode(prepared)
        except ValidationError as exc:
            refused: Exception = ValidationError(f"{self} cannot hold this value.", code=exc.code)
        except (ArithmeticError, DataError):
            refused = DataError(f"{self} cannot hold this value: it is out of range.")
        except (TypeError, ValueError) as exc:
            kind = TypeError if isinstance(exc, TypeError) else ValueError
            refused = kind(f"{self} cannot hold this {type(value).__name__}.")
        raise refused

    @cached_property
    def keeps_strings(self) -> bool:
        """Whether Django's own methods alone prepare a value, which leave a string as it is."""
        if not isinstance(self, CharField | TextField):
            return False
        own = {Field, CharField, TextField, PlaintextMixin, EncodingMixin}
        return all(
            owner in own
            for owner in type(self).__mro__
            if not {"to_python", "get_prep_value", "encode"}.isdisjoint(vars(owner))
        )

    @cached_property
    def block(self) -> int:
        """The padding block in bytes, 0 for none: ``pad_to``, and no less than the longest choice needs."""
        if not (self.varies_in_length and self.choices):
            return self.pad_to
        lengths = [len(self.encoded(choice) or b"") for choice, _ in self.flatchoices]
        return max(self.pad_to, 1 + max(lengths, default=0))
