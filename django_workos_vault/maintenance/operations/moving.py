"""Seal what another vault sealed again, under the vault that the field names now."""

from collections.abc import Sequence

from django.db.models import Model

from django_workos_vault.datakey import LoadedKey
from django_workos_vault.envelope import Envelope
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.handler import vaults
from django_workos_vault.keyring.elsewhere import by_question
from django_workos_vault.keyring.outcomes import Outcome, Question
from django_workos_vault.maintenance.cells import (
    REMEMBERED,
    CannotOpen,
    CellReader,
    concerns_all,
    faults_of_row,
    is_null,
    parsed,
)
from django_workos_vault.maintenance.operations.base import context_of, holds_the_same_value


class Moving:
    """Replaces the cells whose data key the vault ``from_vault`` gives, and no others.

    Raises InvalidVaultConfiguration where there is no such vault, or a field's does not read what it sealed.
    """

    def __init__(self, from_vault: str) -> None:
        self.keys_made = 0
        self._from_vault = vaults[from_vault].alias
        self._reader = CellReader()
        self._theirs: dict[tuple[str, Question], bool] = {}

    def prepare(self, fields: Sequence[EncryptedField], rows: Sequence[Model]) -> None:
        for field in fields:
            if self._from_vault not in field.vault.also_reads:
                raise InvalidVaultConfiguration(_does_not_read(field, self._from_vault))
            cells = []
            for row in rows:
                try:
                    cells.append(None if is_null(field, row) else parsed(field, row))
                except CannotOpen:
                    continue  # told when its turn comes
            self._ask(field, [cell for cell in cells if cell is not None])
            created = field.vault.keyring.counters.created
            field.vault.keyring.prepare(
                field.scheme.contexts_of(row for row in rows if not is_null(field, row))
            )
            self.keys_made += field.vault.keyring.counters.created - created

    def examine(self, field: EncryptedField, instance: Model) -> bool:
        cell = parsed(field, instance)
        self._ask(field, [cell])
        value = self._reader.open(field, instance)
        if not self._theirs[field.vault_alias, (cell.commitment, cell.key_reference)]:
            return False
        context_of(field, instance)
        with faults_of_row():
            field.digests.front(value, instance)
        return True

    def replacement(self, field: EncryptedField, instance: Model) -> bytes | None:
        if not self.examine(field, instance):
            return None
        with faults_of_row():
            return field.seal_value(getattr(instance, field.attname), instance)

    def check(self, field: EncryptedField, old: Model, new: Model, thoroughly: bool) -> None:
        holds_the_same_value(field, old, new)

    def _ask(self, field: EncryptedField, cells: Sequence[Envelope]) -> None:
        """Find out which of ``cells`` the other vault sealed: it gives their keys, and this one does not."""
        unknown = {
            each: cell
            for each, cell in by_question(cells).items()
            if (field.vault_alias, each) not in self._theirs
        }
        if not unknown:
            return
        if len(self._theirs) >= REMEMBERED:
            self._theirs.clear()
        own = field.vault.keyring.unwrapping.load(unknown.values())
        foreign = {each: cell for each, cell in unknown.items() if not _is_key(own[each])}
        theirs = vaults[self._from_vault].keyring.unwrapping.load(foreign.values())
        for each in unknown:
            self._theirs[field.vault_alias, each] = each in foreign and _is_key(theirs[each])


def refusal(fields: Sequence[EncryptedField], from_vault: str) -> str:
    """Return why the ``fields`` cannot move from the vault ``from_vault``, or nothing.

    Where their vault has no index root keys yet, those of the other are carried over. Raises VaultError,
    InvalidVaultConfiguration.
    """
    other = vaults[from_vault]
    for field in fields:
        alias = field.vault.alias
        if alias == from_vault:
            return f"{field} still names vault {from_vault!r}: give it the vault to move to, as vault=."
        if from_vault not in field.vault.also_reads:
            return _does_not_read(field, from_vault)
        for _, kind in field.digests.slots:
            if not field.vault.index_keys.same_as(other.index_keys, kind.version):
                return (
                    f"Vaults {alias!r} and {from_vault!r} have different root keys of version {kind.version} "
                    f"for their blind indexes: searches of {field} would miss rows meanwhile. Move it to a "
                    "vault that has no root key of that version yet."
                )
    return ""


def _does_not_read(field: EncryptedField, other: str) -> str:
    return (
        f"Vault {field.vault.alias!r} does not read what {other!r} sealed, so {field} could not be read "
        f"meanwhile: name {other!r} in its ALSO_READS."
    )


def _is_key(answer: Outcome) -> bool:
    if isinstance(answer, VaultError) and concerns_all(answer):
        raise answer
    return isinstance(answer, LoadedKey)
