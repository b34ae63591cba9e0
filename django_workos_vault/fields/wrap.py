"""``encrypted()``: a twin of any field that has none of its own."""

from functools import cache, cached_property
from inspect import Parameter, signature
from typing import Any

from django.db.models import AutoField, Field, FileField, GeneratedField
from django.utils.module_loading import import_string

from django_workos_vault.fields.encodings import Encoding, encoding_of_any
from django_workos_vault.fields.field import EncryptedField


class WrappedField(EncryptedField):
    """What :func:`encrypted` puts in front of a field class. ``plain`` is its field."""

    def __init__(self, *args: Any, plain: Field, **kwargs: Any) -> None:
        self.plain = plain
        super().__init__(*args, **kwargs)
        self.__dict__.pop("from_db_value", None)  # ArrayField sets one on each field

    @property
    def plain_type(self) -> str:
        return self.plain.get_internal_type()

    def set_attributes_from_name(self, name: str) -> None:
        super().set_attributes_from_name(name)
        self.plain.set_attributes_from_name(name)

    @cached_property
    def encoding(self) -> Encoding:
        return encoding_of_any(self, self.plain)

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        path = f"{type(self.plain).__module__}.{type(self.plain).__qualname__}"
        return name, "django_workos_vault.fields.encrypted_twin", [path, *args], kwargs

    def clone(self) -> Any:
        _, _, args, kwargs = self.deconstruct()
        return self.with_own_default(encrypted_twin(*args, **kwargs))


def encrypted(field: Field, **options: Any) -> Field:
    """Return the encrypted twin of ``field``, a field of any class: a third party's, an ArrayField.

    ``options`` are those of :class:`~django_workos_vault.fields.field.EncryptedField`. The twin is made
    from the field's ``deconstruct()``, as migrations make fields. Raises TypeError for relations, files,
    automatic and generated fields: their columns mean something to the database or to Django.
    """
    refused = isinstance(field, AutoField | FileField | GeneratedField | EncryptedField)
    if refused or field.is_relation:
        raise TypeError(
            f"encrypted() cannot take a {type(field).__name__}. See manage.py vault_check --explain fields."
        )
    _, _, args, kwargs = field.deconstruct()
    plain: Any = type(field)
    twin: Field = _twin_class(plain)(*args, plain=field, **kwargs, **options)
    return twin


def encrypted_twin(path: str, *args: Any, **kwargs: Any) -> Field:
    """Return what :func:`encrypted` does, from the dotted path of a field class. Migrations call this."""
    options = {name: kwargs.pop(name) for name in _OPTIONS & kwargs.keys()}
    return encrypted(import_string(path)(*args, **kwargs), **options)


_OPTIONS = frozenset(
    parameter.name
    for layer in EncryptedField.__mro__[:-1]
    for parameter in signature(layer).parameters.values()
    if parameter.kind is Parameter.KEYWORD_ONLY
)


@cache
def _twin_class(plain: Any) -> Any:
    return type(f"Encrypted{plain.__name__}", (WrappedField, plain), {})
