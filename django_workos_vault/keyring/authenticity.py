"""Which records of the registry are what they say: whoever merely writes its table must not choose keys."""

import hmac
from datetime import UTC, datetime

from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.exceptions import EnvelopeError, VaultError, WrongKey
from django_workos_vault.keyring.records import KeyRecord


def loaded(answer: DataKey | VaultError) -> LoadedKey | VaultError:
    """Return the key of a vault's ``answer``, or the error that it is or makes."""
    if isinstance(answer, VaultError):
        return answer
    try:
        return LoadedKey.answered(answer)
    except VaultError as exc:
        return exc


class Authenticity:
    """Ties each data key to the vault and the key context that it is filed under, by the record's proof."""

    def __init__(self, vault: str) -> None:
        self._vault = vault

    def successor(self, key: LoadedKey, context: KeyContext, newest: KeyRecord | None) -> KeyRecord:
        """Return the record of a new ``key``, which follows ``newest``."""
        return KeyRecord(
            commitment=key.commitment,
            proof=self._proof(key, context.digest),
            key_id=key.id,
            wrapped=key.wrapped,
            created_at=datetime.now(UTC),
            generation=max(newest.generation, 0) + 1 if newest else 1,
        )

    def holds(self, record: KeyRecord, digest: str, key: LoadedKey) -> bool:
        """Whether ``record`` of ``key`` was filed under the context of ``digest`` by a holder of the key."""
        return hmac.compare_digest(self._proof(key, digest), record.proof)

    def fault(
        self, record: KeyRecord, context: KeyContext, answer: DataKey | VaultError
    ) -> VaultError | EnvelopeError | None:
        """Return what is wrong with ``record``, whose wrapped key Vault gave ``answer`` for, or None."""
        key = loaded(answer)
        if isinstance(key, VaultError):
            return key
        if not hmac.compare_digest(key.commitment, record.commitment):
            return WrongKey(
                f"The registry's record of data key {record.key_id} unwraps to another key: it was changed."
            )
        return None if self.holds(record, context.digest, key) else self.changed(record)

    def changed(self, record: KeyRecord) -> WrongKey:
        """Return the error for a record that is not what it says."""
        return WrongKey(
            f"The registry's data key {record.key_id} of vault {self._vault!r} does not belong to the key "
            "context it is filed under, or its wrapped key was changed, withdrawn, or made by another vault "
            "(another base_url or key file). vault_check names every such record and says what to do; "
            f"vaults[{self._vault!r}].rotate(key_context) makes a new key."
        )

    def _proof(self, key: LoadedKey, digest: str) -> bytes:
        return key.derive(f"registry:{digest}:{self._vault}".encode())
