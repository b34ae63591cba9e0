"""Migration operations: encrypt a plaintext column, give a renamed one its new label."""

from typing import Any

from django.db.migrations.operations.base import Operation

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.files.labels import seal_files_for_own_label
from django_workos_vault.maintenance.reencryption.adoption import Adoption
from django_workos_vault.maintenance.reencryption.labels import seal_for_own_label

__all__ = ["EncryptColumn", "SealForLabel", "VerifyEncryptedColumn"]


class EncryptColumn(Operation):
    """Copy a plaintext column into an encrypted one, batch by batch, while the application writes both.

    ``model_name``, ``plain`` and ``encrypted`` are names; the encrypted field must exist and be nullable
    while the copy runs. Put it into a migration of its own with ``atomic = False``, so that each batch of
    ``batch_size`` rows is committed: an interrupted copy is begun again and skips what is done. In reverse it
    copies back what the plaintext column lacks. Afterwards both columns are compared, row by row.
    """

    reduces_to_sql = False

    def __init__(self, model_name: str, plain: str, encrypted: str, batch_size: int = 500) -> None:
        self.model_name = model_name
        self.plain = plain
        self.encrypted = encrypted
        self.batch_size = batch_size

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.model_name, self.plain, self.encrypted], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing: the columns are added and dropped by their own operations."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Encrypt and verify."""
        adoption = self._adoption(app_label, schema_editor, from_state)
        if adoption:
            adoption.encrypt()
            adoption.verify()

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Write the plaintext column again from the encrypted one, and verify."""
        adoption = self._adoption(app_label, schema_editor, from_state)
        if adoption:
            adoption.decrypt()
            adoption.verify()

    def describe(self) -> str:
        return f"Encrypt {self.plain} of {self.model_name} into {self.encrypted}"

    @property
    def migration_name_fragment(self) -> str:
        return f"encrypt_{self.model_name}_{self.plain}".lower()

    def _adoption(self, app_label: str, schema_editor: Any, state: Any) -> Adoption | None:
        model = state.apps.get_model(app_label, self.model_name)
        alias = schema_editor.connection.alias
        if not self.allow_migrate_model(alias, model):
            return None
        fields = model._meta.get_field
        return Adoption(fields(self.plain), fields(self.encrypted), alias, self.batch_size)


class VerifyEncryptedColumn(EncryptColumn):
    """Compare a plaintext column with the encrypted one that replaces it, row by row; write nothing.

    Put it before the operation that drops the plaintext column: rows that differ stop the migration.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Verify."""
        adoption = self._adoption(app_label, schema_editor, from_state)
        if adoption:
            adoption.verify()

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: there is nothing to undo."""

    def describe(self) -> str:
        return f"Verify {self.encrypted} of {self.model_name} against {self.plain}"


class SealForLabel(Operation):
    """Seal all cells or files of a renamed column for ``label``, and record that older labels are done with.

    ``previous_labels`` are those the cells may have now. Afterwards the field needs no ``previous_labels``:
    without this, the check of renames (E009) asks for them for ever, for it cannot see the cells. Put it into
    a migration of its own with ``atomic = False``; interrupted, it is begun again. Raises EnvelopeError or
    VaultError when a cell cannot be opened.
    """

    reduces_to_sql = False

    def __init__(
        self, model_name: str, name: str, label: str, previous_labels: tuple[str, ...], batch_size: int = 500
    ) -> None:
        self.model_name = model_name
        self.name = name
        self.only_label = label
        self.previous_labels = previous_labels
        self.batch_size = batch_size

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.model_name, self.name, self.only_label, self.previous_labels], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change nothing."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Seal."""
        model = from_state.apps.get_model(app_label, self.model_name)
        alias = schema_editor.connection.alias
        if self.allow_migrate_model(alias, model):
            field = model._meta.get_field(self.name)
            field.relabel(self.only_label, self.previous_labels)
            if isinstance(field, EncryptedFileField):
                seal_files_for_own_label(field, alias)
            else:
                seal_for_own_label(field, alias, self.batch_size)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: fields from before open the new label too, or are told of it by ``previous_labels``."""

    def describe(self) -> str:
        return f"Seal {self.name} of {self.model_name} for {self.only_label}"
