"""Two vaults, and columns that go from one to the other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.maintenance.cells import encrypted_fields
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.operations import Moving
from django_workos_vault.testing import RunningEmulator

BACKENDS = "django_workos_vault.backends"


def local(number: int, **settings: Any) -> dict[str, Any]:
    """A local vault that no other one shares a key with."""
    options = {"master_key": bytes([number]) * 32, "objects_file": ":memory:"}
    context = {"KEY_CONTEXT": {"app": "tests"}}
    return {"BACKEND": f"{BACKENDS}.local.LocalVault", "OPTIONS": options, **context, **settings}


def remote(emulator: RunningEmulator, **settings: Any) -> dict[str, Any]:
    """Vault at an emulator."""
    options = {"api_key": emulator.api_key, "base_url": emulator.url, "deadline": 1.0}
    context = {"KEY_CONTEXT": {"app": "tests"}}
    return {"BACKEND": f"{BACKENDS}.workos.WorkOSVault", "OPTIONS": options, **context, **settings}


def stored(envelope: str) -> dict[str, Any]:
    return {"DATA_KEYS": {"envelope": envelope}}


@contextmanager
def fields_name(vault: str, *models: Any) -> Iterator[None]:
    """The code of the models says ``vault=`` so."""
    fields = [field for model in models for field in encrypted_fields(model)]
    before = [field.vault_alias for field in fields]
    try:
        for field in fields:
            field.vault_alias = vault
            field.forget_place()
        yield
    finally:
        for field, alias in zip(fields, before, strict=True):
            field.vault_alias = alias
            field.forget_place()


def only(**configured: Any) -> Any:
    """These vaults and no other, with cold keys: processes that begin now."""
    return override_settings(
        WORKOS_VAULTS={name.replace("_", "-"): each for name, each in configured.items()}
    )


def steps(model: Any, from_vault: str = "default") -> Iterator[Any]:
    """Move the model's columns row by row; yield the pass after each."""
    one = Pass(encrypted_fields(model), Moving(from_vault), using="default", batch_size=1)
    for _ in one.batches():
        vaults["default"].forget_keys()
        vaults["new"].forget_keys()
        yield one
    yield one
