"""One vault: it answers, and data keys make the round trip."""

import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import DataKey
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError
from django_workos_vault.maintenance.inspection.findings import Finding, advice_for
from django_workos_vault.maintenance.patience import patiently
from django_workos_vault.vault import Vault

#: For vaults without a KEY_CONTEXT of their own. The first run makes Vault create this KEK.
_FALLBACK_CONTEXT = {"app": "django-workos-vault-check"}


def inspect_round_trip(vault: Vault) -> Iterator[Finding]:
    """Yield findings of four requests: create and unwrap a data key, rekey and unwrap it."""
    context = (vault.key_context or KeyContext(_FALLBACK_CONTEXT)).items
    backend = vault.backend
    backend.forget_outage()
    with ExitStack() as wiping:

        def asked(call: Callable[[], DataKey]) -> DataKey:
            key = patiently(call)
            wiping.callback(key.wipe)
            key.check()
            return key

        try:
            made = asked(lambda: backend.create_data_key(context))
        except (VaultError, InvalidVaultConfiguration) as exc:
            yield Finding("request", vault.alias, "problem", str(exc), advice_for(exc))
            return
        yield Finding("request", vault.alias, "ok", f"{backend!r} answers and takes the credentials.")
        try:
            unwrapped = asked(lambda: backend.decrypt_data_key(made.wrapped))
            yield _same(vault, "created and unwrapped", made, unwrapped)
            rekeyed = asked(lambda: backend.rekey_data_key(made.wrapped, context))
            unwrapped = asked(lambda: backend.decrypt_data_key(rekeyed.wrapped))
            yield _same(vault, "rekeyed and unwrapped", made, unwrapped)
        except VaultError as exc:
            yield Finding("data key", vault.alias, "problem", str(exc), advice_for(exc))


def _same(vault: Vault, done: str, one: DataKey, other: DataKey) -> Finding:
    if hmac.compare_digest(one.plaintext, other.plaintext):
        return Finding("data key", vault.alias, "ok", f"A data key was {done}: the same key came back.")
    return Finding(
        "data key",
        vault.alias,
        "problem",
        f"A data key was {done}, and another key came back.",
        "Write nothing with this vault: what is sealed now could not be opened. Is base_url really Vault's?",
    )
