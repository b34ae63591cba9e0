"""A binary column in the place of the Django field's own, whose type is still told apart."""

from functools import cached_property
from typing import Any

from django_workos_vault.fields.column import EncryptedCol, opening_converter
from django_workos_vault.fields.expressions import refuse_expression
from django_workos_vault.fields.partial_writes import refuse_foreign_upsert
from django_workos_vault.fields.vault_field import VaultField


class BinaryColumn(VaultField):
    """What Django's schema and statements ask of the column."""

    @property
    def plain_type(self) -> str:
        """The internal type of the Django field that this is the twin of."""
        return super().get_internal_type()

    @staticmethod
    def internal_type_of(plain_type: str) -> str:
        """Return the internal type of the twin of a field whose internal type is ``plain_type``.

        A name that Django does not know: it would turn the cells of what ends in "IntegerField" into numbers.
        What else looks at it, such as django-ninja, can still tell the types apart.
        """
        return plain_type if plain_type == "BinaryField" else f"{plain_type}Encrypted"

    def get_internal_type(self) -> str:
        return self._internal_type

    @cached_property
    def _internal_type(self) -> str:
        # Kept, as Django asks once for each column of a query.
        return self.internal_type_of(self.plain_type)

    def db_type(self, connection: Any) -> str:
        return str(connection.data_types["BinaryField"])

    def cast_db_type(self, connection: Any) -> str:
        return self.db_type(connection)

    def db_parameters(self, connection: Any) -> Any:
        return {"type": self.db_type(connection), "check": None}

    @cached_property
    def may_be_parted(self) -> bool:
        """Whether a cell of another row, written into a row that is there, would not be its own."""
        raise NotImplementedError

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        """Guard what is on its way into the column, up to Django 6.0."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
            return "%s"
        if self.may_be_parted:
            refuse_foreign_upsert(self, compiler.query)
        return str(connection.ops.binary_placeholder_sql(value))

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Guard what is on its way into the column, from Django 6.1."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
        elif self.may_be_parted:
            refuse_foreign_upsert(self, compiler.query)
        placeholder: tuple[str, Any] = connection.ops.binary_placeholder_sql(value, compiler)
        return placeholder

    def get_col(self, alias: Any, output_field: Any = None) -> Any:
        if output_field is None or output_field is self:
            return EncryptedCol(alias, self)
        return super().get_col(alias, output_field)

    @property
    def cached_col(self) -> Any:
        # A column remembers where its cells go in one query, so queries cannot share it.
        return EncryptedCol(self.model._meta.db_table, self)

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [opening_converter(self)]  # and nothing that a database does for the plain type
