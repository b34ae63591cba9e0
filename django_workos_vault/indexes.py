"""Blind indexes in queries, ``Meta.indexes`` and ``UniqueConstraint``: the digests in front of the cells.

The digest of slot *n* stands at a fixed place in the column, so the database indexes a plain
``SUBSTRING(column, start, 32)``. Nothing is kept beside the column, so nothing can drift from it.
"""

from typing import Any

from django.core.exceptions import FieldError
from django.db.models import BinaryField, F, Func, Value
from django.db.models.expressions import Col

from django_workos_vault.blind import (
    CaseFolded,
    Compound,
    Digits,
    Exact,
    FirstCharacters,
    Kind,
    LastCharacters,
    Normalised,
)
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.frame_locals import leaves_no_locals

__all__ = [
    "BlindIndex",
    "CaseFolded",
    "Compound",
    "Digits",
    "Exact",
    "FirstCharacters",
    "LastCharacters",
    "Normalised",
]


# Literal numbers, not parameters: SQLite matches an index by the text of its expression.
_TEMPLATE = "%(function)s(%(expressions)s, %(start)s, %(length)s)"


# What a digest that cannot be told stands for: the cell has one, and it is not NULL.
_EQUALS_NOTHING = b""


class DigestAt(Func):
    """The 32 bytes in slot ``slot`` of an encrypted column.

    In a cell sealed before the slot was declared these are bytes of the envelope, which equal no digest.
    """

    reads_ciphertext = True
    function = "SUBSTRING"
    arity = 1
    output_field = BinaryField()
    length = DIGEST_BYTES

    def __init__(self, expression: Any, slot: int) -> None:
        super().__init__(expression)
        self.slot = slot

    def find_slot(self) -> int:
        """Return the slot, counted from 0."""
        return self.slot

    def first_byte(self) -> int:
        """Return where the bytes begin in the column, counted from 1."""
        return 2 + DIGEST_BYTES * self.find_slot()

    def as_sql(  # type: ignore[override]
        self, compiler: Any, connection: Any, function: str = "SUBSTRING", template: str = _TEMPLATE
    ) -> Any:
        [source] = self.get_source_expressions()
        if isinstance(source, Col):  # encrypted ones refuse to be computed with
            sql, params = Col.as_sql(source, compiler, connection)
        else:
            sql, params = compiler.compile(source)
        start = self.first_byte()
        values = {"function": function, "expressions": sql, "start": start, "length": self.length}
        return template % values, params

    def as_sqlite(  # type: ignore[override]
        self, compiler: Any, connection: Any
    ) -> Any:
        return self.as_sql(compiler, connection, function="SUBSTR")

    def as_mysql(self, compiler: Any, connection: Any) -> Any:
        if connection.mysql_is_mariadb:
            return self.as_sql(compiler, connection)
        # MySQL refuses to index an expression of a BLOB type.
        return self.as_sql(compiler, connection, template=f"CAST({_TEMPLATE} AS BINARY(%(length)s))")


class BlindIndex(DigestAt):
    """The digest of an encrypted field, for ``Meta.indexes``, ``UniqueConstraint`` and annotations.

    ``field`` names the field, through relations in queries. ``index`` names one of its ``blind_indexes``; the
    first unless given. ``version`` is needed where the index has another version than 1.

    Raises FieldError when it is used and the field has no such index.
    """

    def __init__(self, field: Any, index: str | None = None, version: int | None = None) -> None:
        super().__init__(field, 0)
        self.index = index
        self.version = version

    def find_slot(self) -> int:
        [source] = self.get_source_expressions()
        return self.entry(source.output_field)[0]

    @property
    def source_name(self) -> str | None:
        """Name of the field, as it was declared."""
        [source] = self.get_source_expressions()
        return getattr(source, "name", None)

    def compound_members(self, model: Any) -> tuple[str, ...]:
        """Return the names of the other fields that are in the index."""
        kind = self.entry(model._meta.get_field(self.source_name))[1]
        return kind.with_fields if isinstance(kind, Compound) else ()

    @leaves_no_locals
    def replace_expressions(self, replacements: Any) -> Any:
        """Put the digest in place of a value: ``full_clean()`` compares a row that is not stored yet."""
        [source] = self.get_source_expressions()
        value = replacements.get(source)
        if not isinstance(value, Value):
            return super().replace_expressions(replacements)
        field: Any = value.output_field
        others = {
            name: replacements[F(name)].value
            for name in getattr(self.entry(field)[1], "with_fields", ())
            if F(name) in replacements
        }
        if value.value is None:
            return Value(None, BinaryField())
        digest = field.digests.digest_of(self.entry(field)[1], value.value, others)
        return Value(digest.raw if digest else _EQUALS_NOTHING, BinaryField())

    def entry(self, field: Any) -> tuple[int, Kind]:
        """Return the slot and the declaration on ``field`` that is meant. Raises FieldError."""
        declared = getattr(field, "blind_indexes", ())
        # Without a name the first slot is meant, even when it is unused by now: an index that silently moved
        # to another slot would need a migration that nothing announces.
        first = declared[0] if declared else None
        name = self.index or (first and first.name)
        version = self.version or (first.version if first and self.index is None else 1)
        for slot, kind in enumerate(declared):
            if kind is not None and (kind.name, kind.version) == (name, version):
                return slot, kind
        known = ", ".join(f"{kind.name} (version {kind.version})" for kind in declared if kind is not None)
        raise FieldError(
            f"{field} has no blind index {name or ''} of version {version}. Declared: {known or 'none'}."
        )
