"""Move wrapped data keys out of the cells into the registry, or back, as the vault's settings say now.

The ciphertext stays as it is: its associated data do not say where the wrapped key is.
"""

from dataclasses import replace

from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.exceptions import VaultError, WrongKey
from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import REMEMBERED, CannotOpen, concerns_all, faults_of_row, parsed
from django_workos_vault.maintenance.operations.mending import Mending


class Relocation(Mending):
    """Cells whose data key the registry has are rewritten; an inline cell of another key is sealed anew.

    A wrapped key that the registry gives is proven before a cell depends on it, or takes it over.
    """

    def __init__(self) -> None:
        super().__init__()
        #: the registry's wrapped key by vault and commitment, no bytes where it has none
        self._wrapped: dict[tuple[str, bytes], bytes | CannotOpen] = {}

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        if not self.examine(field, instance):
            return None
        cell = stored_cell(instance, field.attname)
        wrapped = self._registered(field, parsed(field, instance))
        if not wrapped:
            with faults_of_row():
                return field.seal_value(self._reader.open(field, instance), instance)
        return envelope.with_key_reference(cell, b"" if _refers(field) else wrapped)

    def is_needed(self, field: EncryptedField, instance: Model) -> bool:
        return bool(parsed(field, instance).key_reference) == _refers(field)

    def _registered(self, field: EncryptedField, cell: envelope.Envelope) -> bytes:
        name = field.vault_alias, cell.commitment
        if name not in self._wrapped:
            if len(self._wrapped) >= REMEMBERED:
                self._wrapped.clear()
            self._wrapped[name] = self._proven(field, cell)
        wrapped = self._wrapped[name]
        if isinstance(wrapped, CannotOpen):
            raise wrapped
        return wrapped

    def _proven(self, field: EncryptedField, cell: envelope.Envelope) -> bytes | CannotOpen:
        keyring = field.vault.keyring
        wrapped = keyring.registry.find([cell.commitment]).get(cell.commitment, b"")
        if not wrapped:
            return b""
        try:
            keyring.opening_key(replace(cell, key_reference=wrapped))
        except (WrongKey, VaultError) as exc:
            if concerns_all(exc):
                raise
            return CannotOpen(type(exc).__name__, f"Of the registry's record of its data key: {exc}")
        return wrapped


def _refers(field: EncryptedField) -> bool:
    return field.vault.policy.envelope == "reference"
