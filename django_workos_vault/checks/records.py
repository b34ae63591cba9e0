"""System checks over what reveals values, and over the record of it."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks

from django_workos_vault.admin_settings import SETTING, admin_settings
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.handler import vaults


@checks.register(checks.Tags.security)
def check_records(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """The setting is right, and there is a key to chain access records with. No request is made."""
    usable = {vault.alias: vault for vault in vaults.usable()}
    if not usable:
        return []  # told by another check
    try:
        alias = admin_settings().record_vault
    except InvalidVaultConfiguration as exc:
        return [
            checks.Error(
                str(exc),
                hint=f"Correct {SETTING}: see vault_check --explain settings.",
                id="django_workos_vault.E170",
            )
        ]
    reveals = apps.is_installed("django.contrib.admin") or any(v.forbids_shell for v in usable.values())
    if alias not in usable or usable[alias].key_context is not None or not reveals:
        return []
    return [
        checks.Warning(
            f"No value can be revealed: vault {alias!r}, whose key chains the access records, has no "
            "KEY_CONTEXT.",
            hint=f"Give it one, or name another vault in {SETTING}['RECORD_VAULT'].",
            id="django_workos_vault.W170",
        )
    ]
