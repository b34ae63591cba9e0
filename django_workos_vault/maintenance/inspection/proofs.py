"""Wrapped keys, each unwrapped by Vault once in a run: a cell opens tomorrow if its own does today."""

from collections.abc import Iterable

from django.db.models import Model

from django_workos_vault import envelope
from django_workos_vault.exceptions import VaultError, WrongKey, is_outage
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.keyring.outcomes import Question
from django_workos_vault.maintenance import cells
from django_workos_vault.maintenance.cells import REMEMBERED, CannotOpen


class Proofs:
    """What Vault makes of the wrapped keys of one vault's cells, whatever keys are in memory."""

    def __init__(self) -> None:
        self._faults: dict[tuple[str, Question], VaultError | WrongKey | None] = {}

    def gather(self, fields: Iterable[EncryptedField], rows: list[Model]) -> None:
        """Have the wrapped keys of ``rows`` unwrapped that were not seen yet, together and concurrently."""
        for field in fields:
            unseen = []
            for row in rows:
                if not cells.is_null(field, row):
                    try:
                        parsed = cells.parsed(field, row)
                    except CannotOpen:
                        continue
                    if _name(field, parsed) not in self._faults:
                        unseen.append(parsed)
            self._ask(field, unseen)

    def check(self, field: EncryptedField, cell: envelope.Envelope) -> None:
        """Raise CannotOpen when Vault refuses the wrapped key of ``cell``, a VaultError in an outage."""
        name = _name(field, cell)
        if name not in self._faults:
            self._ask(field, [cell])
        fault = self._faults[name]
        if fault is not None:
            raise CannotOpen(type(fault).__name__, str(fault))

    def _ask(self, field: EncryptedField, unseen: list[envelope.Envelope]) -> None:
        if not unseen:
            return
        if len(self._faults) >= REMEMBERED:
            self._faults.clear()
        outage = None
        for question, outcome in field.vault.keyring.prove(unseen).items():
            if isinstance(outcome, VaultError) and is_outage(outcome):
                outage = outage or outcome
                continue
            fault = outcome if isinstance(outcome, Exception) else None
            self._faults[field.vault_alias, question] = fault
        if outage is not None:
            raise outage


def _name(field: EncryptedField, cell: envelope.Envelope) -> tuple[str, Question]:
    return field.vault_alias, (cell.commitment, cell.key_reference)
