"""Rows whose truncated digest matches: they are opened and compared, as different values share one."""

from collections.abc import Iterable
from typing import Any

from django.db.models import F
from django.db.models.expressions import Col
from django.db.models.lookups import Lookup
from django.db.models.sql import Query
from django.db.models.sql.where import AND, WhereNode

from django_workos_vault.blind import FULL_BITS, Kind
from django_workos_vault.exceptions import CANNOT_BE_OPENED, VaultUnavailable, is_outage
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.indexes import DigestAt


@leaves_no_locals
def rows_really_equal(
    field: Any,
    using: str,
    slot: int,
    kind: Kind,
    sought: Iterable[Any],
    beside: list[Any],
) -> list[Any]:
    """Return the primary keys of rows whose value is really one of the terms ``sought``.

    ``beside`` are conditions on columns of the same table, which rows must meet. A cell that cannot be opened
    equals nothing: it is passed over, as is one whose key alone Vault fails with. Raises VaultError in an
    outage, which is no answer.
    """
    rows = field.model._base_manager.using(using).annotate(_digest=DigestAt(F(field.name), slot))
    rows = rows.filter(_digest__in=[digest for term in sought for digest in term.digests(kind)])
    alias = rows.query.get_initial_alias()
    for condition in beside:
        rows.query.where.add(_moved(condition, alias), AND)
    members = (field.model._meta.get_field(name).attname for name in getattr(kind, "with_fields", ()))
    messages = {term.message(kind) for term in sought} - {None}
    found = []
    for row in rows.only(field.attname, *field.scheme.row_columns, *members):
        try:
            value = getattr(row, field.attname)
        except CANNOT_BE_OPENED:
            continue
        except VaultUnavailable as exc:
            if is_outage(exc) or not exc.was_asked:
                raise
            continue
        if field.digests.stored_message(kind, value, row) in messages:
            found.append(row.pk)
    return found


def conditions_beside(alias: str, where: WhereNode) -> list[Any]:
    """Return what every row of a query must meet, as far as it concerns the table ``alias`` alone.

    Those are conditions that all others are joined to by AND, at the top of ``where``. Whether a row that
    fails one of them has the value searched for makes no difference, be that negated or one of several by OR.
    """
    if where.connector != AND or where.negated:
        return []
    return [child for child in where.children if _concerns_only(child, alias)]


def _concerns_only(condition: Any, alias: str) -> bool:
    if isinstance(condition, WhereNode):
        return all(_concerns_only(child, alias) for child in condition.children)
    return (
        isinstance(condition, Lookup)
        and isinstance(condition.lhs, Col)
        and condition.lhs.alias == alias
        and _stands_alone(condition.rhs)
        and _opens_nothing(condition)
    )


def _stands_alone(rhs: Any) -> bool:
    query = getattr(rhs, "query", rhs)
    return not query.get_external_cols() if isinstance(query, Query) else not hasattr(rhs, "as_sql")


def _opens_nothing(condition: "Lookup[Any]") -> bool:
    digests = getattr(condition.lhs.output_field, "digests", None)
    return digests is None or all(
        kind.bits == FULL_BITS for _, kind in digests.slots_for(condition.lookup_name)
    )


def _moved(condition: Any, alias: str) -> Any:
    aliases = {column.alias for column in _columns(condition)} - {alias}
    return condition.relabeled_clone(dict.fromkeys(aliases, alias)) if aliases else condition


def _columns(condition: Any) -> Iterable[Col]:
    if isinstance(condition, WhereNode):
        return [column for child in condition.children for column in _columns(child)]
    return [condition.lhs]
