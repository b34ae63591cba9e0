"""Settings, models and admin: what this package's own system checks say."""

from collections.abc import Iterator

from django.core import checks

from django_workos_vault import conf
from django_workos_vault.maintenance.inspection.findings import Finding

_OURS = "django_workos_vault."


def inspect_settings() -> Iterator[Finding]:
    """Yield a finding for each message, those of ``check --deploy`` too when DEBUG is off."""
    production = conf.in_production()
    messages = [
        message
        for message in checks.run_checks(include_deployment_checks=production)
        if (message.id or "").startswith(_OURS) and not message.is_silenced()
    ]
    for message in messages:
        yield Finding(
            "settings",
            f"{message.obj}" if message.obj else str(message.id).removeprefix(_OURS),
            "problem" if message.level >= checks.ERROR else "warning",
            f"{message.msg} ({message.id})",
            message.hint
            or f"manage.py vault_check --explain {str(message.id).removeprefix(_OURS)} says more.",
        )
    if not messages:
        mode = "production (DEBUG is off)" if production else "development (DEBUG is on)"
        yield Finding("settings", "system checks", "ok", f"Vaults and fields are well-formed, for {mode}.")
