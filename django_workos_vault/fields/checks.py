"""System checks of one field. Ids are documented in docs/checks.md and never reused."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db.models import NOT_PROVIDED

from django_workos_vault import masks
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.from_row import FromRow
from django_workos_vault.fields.index_advice import IndexAdvice
from django_workos_vault.fields.scheme import unbindable
from django_workos_vault.handler import vaults


def field_messages(field: Any) -> Iterator[CheckMessage]:
    """Yield what is wrong with the declaration of ``field``."""
    yield from _unsupported_options(field)
    yield from key_context(field)
    yield from binding(field, "E008")
    yield from mask(field)
    yield from _padding(field)
    yield from _attribute(field)


def _unsupported_options(field: Any) -> Iterator[CheckMessage]:
    advice = IndexAdvice(field)
    refused = (
        ("E001", "primary_key", field.primary_key, "Use an ordinary primary key."),
        ("E002", "unique", field._unique and not field.primary_key, advice.of_unique()),
        ("E003", "db_index", field.db_index and not field._unique, advice.of_db_index()),
        ("E004", "db_default", field.db_default is not NOT_PROVIDED, "Use default."),
    )
    for number, option, given, instead in refused:
        if given:
            yield Error(
                f"An encrypted field cannot have {option}.",
                hint=f"Equal values have different ciphertexts, and the database cannot encrypt. {instead}",
                obj=field,
                id=f"django_workos_vault.{number}",
            )


def key_context(field: Any) -> Iterator[CheckMessage]:
    """Yield what is wrong with the key context.

    What is wrong with a vault is told once: by its own check, or by the first field that lacks a context.
    """
    try:
        if field.key_context is not None:
            KeyContext({n: "row" if isinstance(v, FromRow) else v for n, v in field.key_context.items()})
        elif vaults[field.vault_alias].key_context is None:
            first, *others = _without_context(field)
            if first is field:
                more = f" The same is true of {len(others)} other fields." if others else ""
                yield Error(
                    f"Neither {field} nor vault {field.vault_alias!r} has a key context to seal under.{more}",
                    hint=f"Give WORKOS_VAULTS[{field.vault_alias!r}] a KEY_CONTEXT, such as "
                    f'{{"app": "{field.model._meta.app_label}"}}, or the field a key_context.',
                    obj=field,
                    id="django_workos_vault.E005",
                )
    except InvalidVaultConfiguration as exc:
        if field.key_context is not None or not _is_configured(field.vault_alias):
            yield Error(str(exc), obj=field, id="django_workos_vault.E005")


def _is_configured(alias: str) -> bool:
    """Whether the vault's own check tells what is wrong with it."""
    try:
        return alias in [*vaults]
    except InvalidVaultConfiguration:
        return True


def _without_context(field: Any) -> list[Any]:
    """Return ``field`` and what else lacks a key context for the same reason, in the order of the apps."""
    found = [
        other
        for model in field.model._meta.apps.get_models()
        for other in model._meta.local_fields
        if getattr(other, "vault_alias", None) == field.vault_alias and other.key_context is None
    ]
    return found if field in found else [field, *found]


def binding(field: Any, number: str, what: str = "") -> Iterator[CheckMessage]:
    """Yield what is wrong with ``bind_to``, as check ``number``; ``what`` is bound, where it is no cell."""
    try:
        reasons = {column.name: unbindable(column) for column in field.scheme.bound_columns}
    except FieldDoesNotExist as exc:
        reasons = {"bind_to": str(exc)}
    for name, reason in reasons.items():
        if reason:
            yield Error(
                f"Cannot bind {what}to {name}: {reason}.",
                hint="Give the model row_id = models.UUIDField(default=uuid.uuid4, editable=False), and this "
                'field bind_to=("row_id",). Where there are rows, each needs an id of its own first: see '
                "manage.py vault_check --explain rows.",
                obj=field,
                id=f"django_workos_vault.{number}",
            )


def mask(field: Any) -> Iterator[CheckMessage]:
    """Yield what is wrong with the mask."""
    if reason := masks.problem(field.mask):
        known = ", ".join(repr(name) for name in masks.NAMES)
        yield Error(
            reason,
            hint=f"The masks are {known}. A function of your own is given itself, or by its dotted path.",
            obj=field,
            id="django_workos_vault.E007",
        )
    elif masks.problem(masks.path_of(field.mask)):
        yield Error(
            "The function given as mask has no dotted path, by which a migration could name it.",
            hint="Define it with def at the top of a module.",
            obj=field,
            id="django_workos_vault.E180",
        )


def _padding(field: Any) -> Iterator[CheckMessage]:
    if type(field.pad_to) is not int or field.pad_to < 0:
        problem, hint = "pad_to must be a number of bytes.", "Give a block size such as 16."
    elif field.pad_to and not field.encoding.varies_in_length:
        problem = "pad_to has no effect: all values of this type have the same length."
        hint = "Take pad_to away."
    else:
        return
    yield Error(problem, hint=hint, obj=field, id="django_workos_vault.E013")


def _attribute(field: Any) -> Iterator[CheckMessage]:
    if not field.has_own_attribute:
        yield Error(
            "The field's class puts an attribute of its own on the model, which would hand out ciphertext.",
            hint="Such a field cannot be encrypted. Encrypt the field that it is made of instead.",
            obj=field,
            id="django_workos_vault.E014",
        )
