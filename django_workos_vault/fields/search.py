"""Lookups that compare digests instead of values: the only ones that find an encrypted value."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FieldError
from django.db.models import BinaryField, Subquery, Value
from django.db.models.functions import Substr
from django.db.models.lookups import Lookup
from django.db.models.sql import Query

from django_workos_vault.blind import FULL_BITS, Kind
from django_workos_vault.envelope import DIGEST_BYTES
from django_workos_vault.fields.candidates import conditions_beside, rows_really_equal
from django_workos_vault.fields.column import EncryptedCol
from django_workos_vault.fields.terms import Term
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.indexes import DigestAt

_FRONT_MARK = 0x80
_DIGEST = BinaryField()
_ANY_DIGEST = Value(bytes(DIGEST_BYTES), _DIGEST)


class _DigestLookup(Lookup):
    """Equality in the blind index that answers ``lookup_name``, in every declared version of it."""

    many = False
    reads_ciphertext = True
    prepare_rhs = False

    @leaves_no_locals
    def __init__(self, lhs: Any, rhs: Any) -> None:
        # Whatever is wrong with a value comes out here: Django's frames would hold a half-made lookup.
        super().__init__(lhs, _terms(lhs.output_field, str(self.lookup_name), rhs, self.many))
        self._constructor_args: Any = ((lhs, self.rhs), {})  # where Django keeps what the lookup was made of

    @property
    def _field(self) -> Any:
        return self.lhs.output_field

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.lookup_name, self.__getstate__())

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        if self.rhs_is_direct_value():
            branches = [
                branch
                for slot, kind in self._field.digests.slots_for(self.lookup_name)
                if (branch := self._in_slot(compiler, connection, slot, kind))
            ]
            if not branches:
                raise EmptyResultSet
        else:
            branches = [*self._against_column(compiler)]
        sql = " OR ".join(sql for sql, _ in branches)
        return (sql if len(branches) == 1 else f"({sql})"), tuple(p for _, params in branches for p in params)

    @property
    def _sought(self) -> tuple[Term, ...]:
        return self.rhs if self.many else (self.rhs,)

    def _in_slot(self, compiler: Any, connection: Any, slot: int, kind: Kind) -> tuple[str, list[Any]] | None:
        wanted = list({digest: None for term in self._sought for digest in term.digests(kind)})
        if not wanted:
            return None
        sql, params = self._among(compiler, connection, DigestAt(self.lhs, slot), wanted)
        if kind.bits == FULL_BITS:
            return sql, params
        if not isinstance(self.lhs, EncryptedCol):
            raise FieldError(
                f"The blind index {kind.name!r} of {self._field} has few bits: search the column itself."
            )
        beside = conditions_beside(self.lhs.alias, compiler.query.where)
        rows = rows_really_equal(self._field, connection.alias, slot, kind, self._sought, beside)
        pk = self._field.model._meta.pk
        digest_sql, digest_params = compiler.compile(DigestAt(self.lhs, slot))
        # What is NULL in a plain column must not be false here: XOR and NOT tell them apart.
        really = f"{digest_sql} IS NULL"
        if rows:
            among = pk.get_lookup("in")(pk.get_col(self.lhs.alias), rows)
            rows_sql, rows_params = compiler.compile(among)
            really, digest_params = f"({rows_sql} OR {really})", [*rows_params, *digest_params]
        return f"({sql} AND {really})", [*params, *digest_params]

    def _among(
        self, compiler: Any, connection: Any, column: DigestAt, digests: list[bytes]
    ) -> tuple[str, list[Any]]:
        column_sql, params = compiler.compile(column)
        placeholder, _ = compiler.compile(_ANY_DIGEST)  # of all: compiling each takes as long as digesting it
        values = [_DIGEST.get_db_prep_value(digest, connection) for digest in digests]
        many = ", ".join([placeholder] * len(values))
        operator = f"= {many}" if len(values) == 1 else f"IN ({many})"
        return f"{column_sql} {operator}", [*params, *values]

    def _against_column(self, compiler: Any) -> Iterator[tuple[str, list[Any]]]:
        other, put_digest = _column_of(self._field, self.rhs, self.many)
        pairs = [
            (slot, other_slot)
            for slot, kind in self._field.digests.slots_for(self.lookup_name)
            for other_slot, other_kind in (other.digests.slots if hasattr(other, "digests") else ())
            if kind == other_kind and kind.bits == FULL_BITS
        ]
        same_keys = other is not None and (
            (other.vault_alias, other.labels) == (self._field.vault_alias, self._field.labels)
        )
        if not pairs or not same_keys:
            raise FieldError(
                f"Cannot compare {self._field} with another column: only the same blind index of the same "
                "field, or of a field with the same label, has the same digests."
            )
        for slot, other_slot in pairs:
            left, left_params = compiler.compile(DigestAt(self.lhs, slot))
            right, right_params = compiler.compile(put_digest(other_slot))
            # Cells sealed before the index was declared would be equal in their envelopes' first bytes.
            front, front_params = compiler.compile(Substr(self.lhs, 1, 1, output_field=_DIGEST))
            mark, mark_params = compiler.compile(Value(bytes((_FRONT_MARK + slot + 1,)), _DIGEST))
            operator = "IN" if self.many else "="
            yield (
                f"({left} {operator} {right} AND {front} >= {mark})",
                [*left_params, *right_params, *front_params, *mark_params],
            )


def _terms(field: Any, lookup: str, rhs: Any, many: bool) -> Any:
    """Return what is searched for as terms: None for NULL, a column or a subquery as it is."""
    if isinstance(rhs, Value):
        return Term(field, lookup, rhs.value)
    if rhs is None or hasattr(rhs, "resolve_expression"):
        return rhs
    if not many:
        term = Term(field, lookup, rhs)
        return None if term.is_null else term
    values = list(rhs)
    if any(hasattr(value, "resolve_expression") for value in values):
        raise FieldError(f"A list searched for in {field} takes values, not expressions. Use Q().")
    # Not those of other types: two equal naive times may be two instants.
    if all(type(value) in (str, int) for value in values):
        values = list(dict.fromkeys(values))
    return tuple(Term(field, lookup, value) for value in values if value is not None)


def _column_of(field: Any, rhs: Any, many: bool) -> tuple[Any, Callable[[int], Any]]:
    """Return the field that ``rhs`` takes its values from, and what puts its digest in their place."""
    if isinstance(rhs, Subquery):
        other, put_digest = _column_of(field, rhs.query, many)

        def in_subquery(slot: int) -> Subquery:
            copy = rhs.copy()
            copy.query = put_digest(slot)
            return copy

        return other, in_subquery
    if isinstance(rhs, Query):
        return _selected_column(field, rhs, many)
    if isinstance(rhs, EncryptedCol):
        return rhs.target, lambda slot: DigestAt(rhs, slot)
    return None, lambda slot: rhs


def _selected_column(field: Any, query: Query, many: bool) -> tuple[Any, Callable[[int], Query]]:
    annotations = dict(query.annotation_select)
    columns = [*query.select, *annotations.values()]
    if query.default_cols or len(columns) != 1 or not isinstance(columns[0], EncryptedCol):
        raise FieldError(f"Compare {field} with one encrypted column of a subquery: name it in values().")

    def with_digest(slot: int) -> Query:
        copy = query.clone()
        digest = DigestAt(columns[0], slot)
        if annotations:
            copy.annotations = {**query.annotations, next(iter(annotations)): digest}
        else:
            copy.select = (digest,)
        if many:
            copy.clear_ordering(clear_default=True)
        copy.subquery = True
        return copy

    return columns[0].target, with_digest


@lru_cache(maxsize=256)
def digest_lookup(name: str) -> type[_DigestLookup]:
    """Return the class for the lookup ``name`` on a field that has a blind index for it."""
    return type("DigestLookup", (_DigestLookup,), {"lookup_name": name, "many": name == "in"})


def _restored(name: str, state: dict[str, Any]) -> _DigestLookup:
    lookup = _DigestLookup.__new__(digest_lookup(name))
    lookup.__dict__.update(state)
    return lookup
