"""A list filter that finds rows with cells that cannot be opened."""

from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import CannotOpen, CellReader

#: Rows that are looked at.
NEWEST = 1000


class CannotBeOpenedFilter(SimpleListFilter):
    """For ``list_filter``: the rows, of the newest 1000 by primary key, with a cell that cannot be opened.

    Opens every cell of those rows, and shows none. Values of a ``VaultObjectField`` are not fetched.
    """

    title = gettext_lazy("encrypted values")
    parameter_name = "vault_cells"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("bad", _("cannot be opened (newest %(newest)d rows)") % {"newest": NEWEST})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "bad":
            return queryset
        fields = [f for f in queryset.model._meta.concrete_fields if isinstance(f, EncryptedField)]
        reader = CellReader()
        rows = list(queryset.order_by("-pk")[:NEWEST])
        return queryset.filter(pk__in=[row.pk for row in rows if _is_bad(reader, fields, row)])


def _is_bad(reader: CellReader, fields: list[EncryptedField], row: Model) -> bool:
    for field in fields:
        if field.held_by(row) is not None:
            try:
                reader.open(field, row)
            except (CannotOpen, InvalidVaultConfiguration):
                return True
    return False
