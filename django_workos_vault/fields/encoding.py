"""What bytes are sealed for a value, and which value they are again."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import CharField, Field, TextField

from django_workos_vault.fields.cell import opened
from django_workos_vault.fields.defaults import GoneDefault
from django_workos_vault.fields.encodings import Encoding, Text
from django_workos_vault.fields.plaintext import PlaintextMixin
from django_workos_vault.frame_locals import leaves_no_locals

if TYPE_CHECKING:
    _Field = Field[Any, Any]
else:
    _Field = object


class EncodingMixin(_Field):
    """Gives values to the field's encoding, and says what is wrong with them without quoting them."""

    if TYPE_CHECKING:
        pad_to: int

        @property
        def encoding(self) -> Encoding: ...

    @leaves_no_locals
    def encoded(self, value: Any) -> bytes | None:
        """Return the bytes to seal for any value that the Django field takes, None where it stores NULL.

        Raises what Django's field or the database would, without quoting the value: errors go to logs.
        """
        return self._encoded(value)

    def _encoded(self, value: Any) -> bytes | None:
        if type(value) is not str:
            value = opened(value)
            if type(value) is GoneDefault:
                raise value.refusal()
        try:
            if self.keeps_strings and type(value) is str:
                return value.encode()
            prepared = self.get_prep_value(value)
            return None if prepared is None else self.encoding.encode(prepared)
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
        if type(self.encoding) is not Text:
            return False
        own = {Field, CharField, TextField, PlaintextMixin}
        return all(
            owner in own or owner.__name__ == "EncryptedFieldMixin"
            for owner in type(self).__mro__
            if not {"to_python", "get_prep_value"}.isdisjoint(vars(owner))
        )

    @cached_property
    def block(self) -> int:
        """The padding block in bytes, 0 for none: ``pad_to``, and no less than the longest choice needs."""
        if not (self.encoding.varies_in_length and self.choices):
            return self.pad_to
        lengths = [len(self.encoded(choice) or b"") for choice, _ in self.flatchoices]
        return max(self.pad_to, 1 + max(lengths, default=0))
