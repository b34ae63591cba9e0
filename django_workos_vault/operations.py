"""Migration operations that take an existing plaintext column into an encrypted one."""

from typing import Any

from django.db.migrations.operations.base import Operation

from django_workos_vault.reencryption.adoption import Adoption


class EncryptColumn(Operation):
    """Copy a plaintext column into an encrypted one, batch by batch, while the application writes both.

    ``model_name``, ``plain`` and ``encrypted`` are names; the encrypted field must exist and be nullable
    while the copy runs. Put it into a migration of its own with ``atomic = False``, so that each batch of
    ``batch_size`` rows is committed: an interrupted copy is begun again and skips what is done. In reverse it
    copies back. Afterwards both columns are compared, row by row.
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
