"""What a field gives to INSERT and UPDATE: the cell that is there, or a new one, and never an expression."""

from typing import TYPE_CHECKING, Any

from django.db.models import Model

from django_workos_vault.fields.cell import ForeignCell, Sealed
from django_workos_vault.fields.defaults import GoneDefault, has_rows
from django_workos_vault.fields.expressions import refuse_expression
from django_workos_vault.fields.rows import refuse_foreign_upsert
from django_workos_vault.frame_locals import forget_locals, leaves_no_locals

if TYPE_CHECKING:
    from django_workos_vault.cipher import Cipher
    from django_workos_vault.fields.vaulted import VaultFieldMixin

    class _Field(VaultFieldMixin):
        compound_members: tuple[str, ...]

        @property
        def cipher(self) -> Cipher: ...

        def sealed(self, value: Any, instance: Model | None = None) -> Sealed | None: ...

else:
    _Field = object


class WritingMixin(_Field):
    """Writes cells: untouched ones as they are, assigned values sealed."""

    _table_has_rows = False

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        try:  # leaves_no_locals, without the price of a wrapper: this runs for every value that is written
            return self._cell_to_write(model_instance, add)
        except Exception as exc:
            forget_locals(exc)
            raise

    def _cell_to_write(self, model_instance: Model, add: bool) -> Any:
        if add and (self.is_row_aware or self.compound_members):
            refuse_foreign_upsert(self)  # type: ignore[arg-type]
        value = super().pre_save(model_instance, add)  # a cell that nobody touched comes as it is
        held = model_instance.__dict__.get(self.attname)
        if type(held) is Sealed:
            touched = held.has_changed() or self.row_changed(held, model_instance)
            if self._is_cell_of_mine(held) and not touched and (value is held or held.holds(value)):
                return held
            value = held.open() if value is held else value
        if value is None or hasattr(value, "resolve_expression"):
            return value
        sealed = self.sealed(value, model_instance)
        if sealed is not None:
            model_instance.__dict__[self.attname] = sealed
        return sealed

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        try:  # as in pre_save()
            if self._is_cell_of_mine(value):
                return self._parameter(value, connection)
            if not hasattr(value, "resolve_expression"):
                if self._is_default_for_no_row(value, connection):
                    return None
                return self.get_db_prep_value(value, connection)
            refuse_expression(self, value)
            return value
        except Exception as exc:
            forget_locals(exc)
            del value
            raise

    @leaves_no_locals
    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if not self._is_cell_of_mine(value):
            value = self.sealed(value)
        return None if value is None else self._parameter(value, connection)

    def _is_default_for_no_row(self, value: Any, connection: Any) -> bool:
        # A migration asks for the default of a column that it adds even when the table is empty. One that
        # is gone by now, needs a row to be sealed for, or a key before there is a registry of keys, must not
        # stop a database that begins from nothing.
        if value is None or self.model.__module__ != "__fake__":
            return False
        if type(value) is GoneDefault:
            return not has_rows(self, connection, only_null=True)
        if self._table_has_rows:  # update() in a loop asks once
            return False
        self._table_has_rows = has_rows(self, connection)
        return not self._table_has_rows

    def _parameter(self, sealed: Sealed, connection: Any) -> Any:
        if isinstance(sealed.cell, ForeignCell):
            return sealed.cell.stored
        self.cipher.secure(sealed.cell, connection.alias)
        return connection.Database.Binary(sealed.cell)

    def _is_cell_of_mine(self, value: Any) -> bool:
        # A cell that a program carries over from another column would not open in this one.
        return type(value) is Sealed and (value.field is self or value.field.label == self.label)

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        """Guard expressions on their way into the column, up to Django 6.0."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
            return "%s"
        return str(connection.ops.binary_placeholder_sql(value))

    def get_placeholder_sql(self, value: Any, compiler: Any, connection: Any) -> tuple[str, Any]:
        """Guard expressions on their way into the column, from Django 6.1."""
        if hasattr(value, "as_sql"):
            refuse_expression(self, value)
        return connection.ops.binary_placeholder_sql(value, compiler)  # type: ignore[no-any-return]
