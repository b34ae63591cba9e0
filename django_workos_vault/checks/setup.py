"""System checks over settings. Ids are documented in docs/checks.md and never reused."""

import re
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.utils.module_loading import import_string

from django_workos_vault import conf, tracebacks
from django_workos_vault.exceptions import InvalidVaultConfiguration
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


@checks.register(checks.Tags.security)
def check_live_key_under_debug(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Debug mode and the keys of real data do not go together."""
    return [
        checks.Warning(
            f"Vault {vault.alias!r} has a live API key (sk_live_...) while DEBUG is on.",
            hint="Use a test key (sk_test_...) for development, and turn DEBUG off where the data are real.",
            id="django_workos_vault.W002",
        )
        for vault in vaults.usable()
        if not conf.in_production() and vault.backend.api_key_environment == "live"
    ]


@checks.register(checks.Tags.security)
def check_client_id(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """What a project calls its client id is one: it is sent to browsers, where an API key must not be."""
    given = conf.client_id()
    if given is None or (isinstance(given, str) and re.fullmatch(r"client_[A-Za-z0-9_]+", given)):
        return []
    begins = "begins with sk_, as an API key does" if str(given).startswith("sk_") else "is no client id"
    return [
        checks.Warning(
            f"WORKOS_CLIENT_ID, of the settings or the environment, {begins}.",
            hint="Give it the client id of the WorkOS dashboard, which begins with client_. The API key "
            "belongs into OPTIONS of a vault.",
            id="django_workos_vault.W190",
        )
    ]


@checks.register(checks.Tags.security, deploy=True)
def check_vaults_for_production(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """What is good for development alone is not deployed."""
    messages: list[checks.CheckMessage] = []
    for vault in vaults.usable():
        if vault.backend.lacks:
            messages.append(
                checks.Error(
                    f"Vault {vault.alias!r}: {vault.backend.lacks}",
                    hint="Set the environment variable that the settings read it from, where the site runs. "
                    "Commands that need no key, such as collectstatic, run without.",
                    id="django_workos_vault.E190",
                )
            )
        if vault.backend.for_development:
            messages.append(
                checks.Error(
                    f"Vault {vault.alias!r} is a {type(vault.backend).__name__}: whoever reads its "
                    "master key can open everything.",
                    hint="Use WorkOSVault in production. Where this is meant to be, name this check in "
                    "SILENCED_SYSTEM_CHECKS.",
                    id="django_workos_vault.E011",
                )
            )
        if vault.backend.api_key_environment == "test":
            messages.append(
                checks.Warning(
                    f"Vault {vault.alias!r} has a test API key (sk_test_...) in production.",
                    hint="Use the API key of the WorkOS production environment, which begins with sk_live_.",
                    id="django_workos_vault.W001",
                )
            )
    return messages


@checks.register(checks.Tags.security, deploy=True)
def check_error_reports(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Error reports leave out what Django's own frames hold of encrypted fields."""
    path = conf.exception_reporter_filter()
    try:
        filter_class = import_string(path)
    except ImportError:
        filter_class = None  # Django says so in every report
    if not tracebacks.encrypted_names() or (
        isinstance(filter_class, type) and issubclass(filter_class, tracebacks.ExceptionReporterFilter)
    ):
        return []
    return [
        checks.Warning(
            "Django's error reports may show values of encrypted fields: when Vault cannot be reached during "
            "create(), get() or full_clean(), the locals of Django's own frames hold them.",
            hint="Set DEFAULT_EXCEPTION_REPORTER_FILTER to "
            "'django_workos_vault.tracebacks.ExceptionReporterFilter', or to a subclass of it.",
            id="django_workos_vault.W105",
        )
    ]
