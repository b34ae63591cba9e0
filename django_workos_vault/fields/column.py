"""How an encrypted column is selected, and what its cells become on the way out of the database."""

from collections.abc import Callable
from typing import Any

from django.db.models import BinaryField
from django.db.models.expressions import Col

from django_workos_vault.cipher import Cipher
from django_workos_vault.fields.cell import NEIGHBOURS, PLAIN, UNOPENED, ForeignCell, Sealed
from django_workos_vault.fields.refused_queries import refuse_misuse
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
        refuse_misuse(self.target, compiler)
        return Col.as_sql(self, compiler, connection)  # a call less than by way of ReferenceCol

    def get_db_converters(self, connection: Any) -> list[Converter]:
        if self._fills_instances:
            return [sealing_converter(self.target)]
        return super().get_db_converters(connection)


def held_opener(field: Any) -> Callable[[Sealed], Any]:
    """Return ``field.open_held``, what it needs at hand: it runs for every value that is read."""
    scheme, decode, open_bound = field.scheme, field.encoding.decode, field.open_bound
    is_bound = scheme.is_bound
    cipher: Cipher | None = None

    def open_held(held: Sealed) -> Any:
        nonlocal cipher
        try:
            if is_bound:
                plaintext = open_bound(held.cell, held.neighbours, held.row)
            else:
                if cipher is None or cipher.keyring.closed:
                    cipher = scheme.cipher
                plaintext = cipher.open(held.cell, b"", held.neighbours)
        except Exception as exc:
            forget_locals(exc)  # a column may still hold plaintext, this cell's or its neighbours'
            raise
        try:  # not suppress(), which takes as long as the rest
            value = decode(plaintext)
        except Exception:
            value = UNOPENED  # whatever a field's class makes of a foreign plaintext, and quotes
        del plaintext
        if value is UNOPENED:
            raise field.holds_no_value()
        if type(value) in PLAIN:
            held._encoded = None
        else:
            try:
                held._encoded = field.encoded(value)
            except Exception:
                del value
                raise
        held._opened = value
        held.neighbours = None
        return value

    return open_held


def opening_converter(field: Any) -> Converter:
    """Return a converter that opens each cell, where there are no instances."""
    scheme, decode, open_bound = field.scheme, field.encoding.decode, field.open_bound
    is_bound = scheme.is_bound
    cipher: Cipher | None = scheme.cipher_in_use

    def open_each(cell: Any, expression: Any, connection: Any) -> Any:
        nonlocal cipher
        if cell is None:
            return None
        try:
            if type(cell) is not bytes:
                cell = as_bytes(cell)
            if is_bound:
                return open_bound(cell, None, None)  # says that it needs the row
            if cipher is None or cipher.keyring.closed:
                cipher = scheme.cipher
            plaintext = cipher.open(cell)
        except Exception as exc:
            forget_locals(exc)
            del cell  # it may be plaintext still
            raise
        try:
            return decode(plaintext)
        except Exception:  # noqa: S110 -- as above
            pass
        del plaintext
        raise field.holds_no_value()

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
