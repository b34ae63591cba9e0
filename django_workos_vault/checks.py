"""System checks over settings and models. Ids are documented in docs/checks.md and never reused."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model, OrderBy

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.base import EncryptedFieldMixin
from django_workos_vault.handler import vaults


@checks.register(checks.Tags.security)
def check_vaults(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Every configured vault can be constructed. No request is made."""
    messages: list[checks.CheckMessage] = []
    try:
        aliases = list(vaults)
    except InvalidVaultConfiguration as exc:
        return [checks.Error(str(exc), id="django_workos_vault.E010")]
    for alias in aliases:
        try:
            vaults[alias]
        except InvalidVaultConfiguration as exc:
            messages.append(checks.Error(str(exc), id="django_workos_vault.E010"))
    return messages


@checks.register(checks.Tags.models)
def check_ordering(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """No model orders by an encrypted field by default."""
    return [
        checks.Error(
            f"Meta.ordering names the encrypted field {name!r}: ciphertext has no order.",
            hint="Order by another column, or sort in Python.",
            obj=model,
            id="django_workos_vault.E006",
        )
        for model in _models(app_configs)
        for name in ordering_names(model._meta.ordering or ())
        if _is_encrypted(model, name)
    ]


def _models(app_configs: Sequence[AppConfig] | None) -> Iterable[type[Model]]:
    for config in app_configs if app_configs is not None else apps.get_app_configs():
        yield from config.get_models()


def ordering_names(ordering: Iterable[Any]) -> Iterable[str]:
    """Yield the plain column names of an ``ordering`` option, without their signs."""
    for item in ordering:
        expression = item.expression if isinstance(item, OrderBy) else item
        if isinstance(expression, F):
            yield str(expression.name)  # type: ignore[attr-defined]
        elif isinstance(expression, str):
            yield expression.removeprefix("-")


def _is_encrypted(model: type[Model], name: str) -> bool:
    try:
        return isinstance(model._meta.get_field(name), EncryptedFieldMixin)
    except FieldDoesNotExist:
        return False
