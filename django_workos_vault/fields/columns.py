"""How an encrypted column is selected, and what its cells become on the way out of the database."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models.expressions import Col, OrderBy
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.db.models.sql.where import WhereNode

from django_workos_vault.fields.sealed import NEIGHBOURS, Sealed

if TYPE_CHECKING:
    from django_workos_vault.fields.base import EncryptedFieldMixin

Converter = Callable[[Any, Any, Any], Any]


class EncryptedCol(Col):
    """A column whose cells stay sealed on their way into a model instance, and are opened otherwise.

    Only while it is compiled does a column see its query. There it learns where its cells go, and refuses
    the places where ciphertext makes no sense.
    """

    target: "EncryptedFieldMixin"

    def __init__(self, alias: str, target: Any, output_field: Any = None) -> None:
        super().__init__(alias, target, output_field)
        # Columns that are never compiled are those of raw() and RETURNING: both fill model instances.
        self._fills_instances = True

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        self._refuse_ordering_and_copying(compiler)
        query = compiler.query
        self._fills_instances = query.default_cols and not any(
            self is annotation for annotation in query.annotation_select.values()
        )
        return super().as_sql(compiler, connection)

    def get_db_converters(self, connection: Any) -> list[Converter]:
        if self._fills_instances:
            return [sealing_converter(self.target)]
        return super().get_db_converters(connection)

    def _refuse_ordering_and_copying(self, compiler: Any) -> None:
        updating = isinstance(compiler, SQLUpdateCompiler)
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and frame.f_code.co_name != "execute_sql":
            code = frame.f_code
            if code is WhereNode.as_sql.__code__:
                return
            if code is OrderBy.as_sql.__code__:
                raise FieldError(
                    f"Cannot order by {self.target}: ciphertext has no order. Sort in Python after loading."
                )
            if updating and code is SQLUpdateCompiler.as_sql.__code__:
                raise FieldError(
                    f"Cannot copy {self.target} with an expression: another column cannot open its cells. "
                    "Load the rows and assign the attribute."
                )
            frame = frame.f_back


def sealing_converter(field: "EncryptedFieldMixin") -> Converter:
    """Return a converter that wraps each cell in :class:`Sealed`, decrypting nothing."""
    neighbours: list[bytes] = []

    def seal(cell: Any, expression: Any, connection: Any) -> Any:
        nonlocal neighbours
        if cell is None:
            return None
        if len(neighbours) >= NEIGHBOURS:
            neighbours = []
        cell = bytes(cell)
        neighbours.append(cell)
        return Sealed(cell, field, neighbours)

    return seal
