"""How an encrypted column is selected, and what its cells become on the way out of the database."""

from collections.abc import Callable
from typing import Any

from django.db.models import BinaryField
from django.db.models.expressions import Col

from django_workos_vault.cipher import Cipher
from django_workos_vault.fields.cell import NEIGHBOURS, UNOPENED, ForeignCell, Sealed
from django_workos_vault.fields.refused_queries import refuse_misuse
from django_workos_vault.fields.scheme import Row
from django_workos_vault.frame_locals import forget_locals

Converter = Callable[[Any, Any, Any], Any]
_BYTES = BinaryField()


class ReferenceCol(Col):
    """A column that the database cannot compute with: references to objects in Vault are no better."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        refuse_misuse(self.target, compiler)
        return super().as_sql(compiler, connection)

    def as_ciphertext(self) -> Col:
        """Return the column for one of our expressions, which know what to do with ciphertext."""
        return Col(self.alias, self.target, _BYTES)


class EncryptedCol(ReferenceCol):
    """A column whose cells stay sealed on their way into a model instance, and are opened otherwise.

    Only while it is compiled does a column see its query. There it learns where its cells go, and refuses
    the places where ciphertext makes no sense.
    """

    # Columns that are never compiled are those of raw() and RETURNING: both fill model instances.
    _fills_instances = True

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        query = compiler.query
        annotations = query.annotation_select
        self._fills_instances = query.default_cols and not (
            annotations and any(self is annotation for annotation in annotations.values())
        )
        return super().as_sql(compiler, connection)

    def get_db_converters(self, connection: Any) -> list[Converter]:
        if self._fills_instances:
            return [sealing_converter(self.target)]
        return super().get_db_converters(connection)


def cell_opener(field: Any) -> Callable[..., Any]:
    """Return ``field.open_cell``, what it needs at hand: it runs for every value that is read."""
    scheme, decode, open_bound = field.scheme, field.encoding.decode, field.open_bound
    cipher: Cipher | None = None

    def open_cell(cell: bytes, neighbours: list[bytes] | None = None, row: Row | None = None) -> Any:
        nonlocal cipher
        if scheme.is_bound:
            plaintext = open_bound(cell, neighbours, row)
        else:
            if cipher is None or cipher.keyring.closed:
                cipher = scheme.cipher
            plaintext = cipher.open(cell, b"", neighbours)
        try:  # not suppress(), which takes as long as the rest
            return decode(plaintext)
        except Exception:  # noqa: S110 -- whatever a field's class makes of a foreign plaintext, and quotes
            pass
        del plaintext
        raise field.holds_no_value()

    return open_cell


def opening_converter(field: Any) -> Converter:
    """Return a converter that opens each cell."""
    open_cell = field.open_cell

    def open_each(cell: Any, expression: Any, connection: Any) -> Any:
        if cell is None:
            return None
        try:
            return open_cell(cell if type(cell) is bytes else as_bytes(cell))
        except Exception as exc:
            forget_locals(exc)
            del cell  # it may be plaintext still
            raise

    return open_each


def sealing_converter(field: Any) -> Converter:
    """Return a converter that wraps each cell in :class:`Sealed`, decrypting nothing."""
    neighbours: list[bytes] = []
    new = object.__new__

    def seal(cell: Any, expression: Any, connection: Any) -> Any:
        nonlocal neighbours
        if cell is None:
            return None
        if type(cell) is not bytes:
            cell = as_bytes(cell)
        if len(neighbours) >= NEIGHBOURS:
            neighbours = []
        neighbours.append(cell)
        # What Sealed() does, at half the price: this runs for every cell of every row.
        sealed = new(Sealed)
        sealed.cell = cell
        sealed.field = field
        sealed.neighbours = neighbours
        sealed.row = None
        sealed._opened = UNOPENED
        return sealed

    return seal


def as_bytes(cell: Any) -> bytes:
    """Return what the database gave in the place of bytes as a cell, which may be none."""
    return bytes(cell) if isinstance(cell, memoryview | bytearray) else ForeignCell.of(cell)
