"""Values and their bytes: what the Django field takes becomes what is sealed, without a value in an error."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import CharField, Field, TextField

from django_workos_vault.fields.binary_column import BinaryColumn
from django_workos_vault.fields.cell import opened
from django_workos_vault.fields.defaults import GoneDefault
from django_workos_vault.fields.encodings import Encoding, Text, encoding_of
from django_workos_vault.frame_locals import leaves_no_locals


class EncodedField(BinaryColumn):
    """Has the encoding of its Django field's values."""

    pad_to = 0

    @cached_property
    def encoding(self) -> Encoding:
        """What turns a value into the bytes to seal, and back."""
        return encoding_of(self)

    @cached_property
    def block(self) -> int:
        """The padding block in bytes, 0 for none: ``pad_to``, and no less than the longest choice needs."""
        if not (self.encoding.varies_in_length and self.choices):
            return self.pad_to
        lengths = [len(self.encoded(choice) or b"") for choice, _ in self.flatchoices]
        return max(self.pad_to, 1 + max(lengths, default=0))

    def get_prep_value(self, value: Any) -> Any:
        return self.encoding.prepare(value, super().get_prep_value)

    @cached_property
    def _prepare(self) -> Callable[[Any], Any]:
        """:meth:`get_prep_value`, without a call that does nothing."""
        plain = type(self).get_prep_value is EncodedField.get_prep_value
        same = type(self.encoding).prepare is Encoding.prepare
        return super().get_prep_value if plain and same else self.get_prep_value

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
            if self._keeps_strings and type(value) is str:
                return value.encode()
            prepared = self._prepare(value)
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
    def _keeps_strings(self) -> bool:
        """Whether Django's own methods alone prepare a value, which leave a string as it is."""
        return type(self.encoding) is Text and all(
            owner in (Field, CharField, TextField) or owner.__module__.startswith(f"{__package__}.")
            for owner in type(self).__mro__
            if not {"to_python", "get_prep_value"}.isdisjoint(vars(owner))
        )
