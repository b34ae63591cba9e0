"""Actions on the rows that are selected in a list: to a file, and sealed again."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import DatabaseError, router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_workos_vault.access import Entry
from django_workos_vault.admin_settings import admin_settings
from django_workos_vault.exceptions import AccessNotRecorded
from django_workos_vault.fields.django_internals.querysets import chosen_database
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.vault_field import VaultField
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.engine.columns import ColumnCounts, Columns
from django_workos_vault.maintenance.engine.transactions import concerns_rows, in_transaction, is_locked
from django_workos_vault.maintenance.operations.base import NotAsWritten
from django_workos_vault.maintenance.operations.resealing import Resealing
from django_workos_vault.reveal import permissions, refusals, requests
from django_workos_vault.reveal.export import MOST, export_page

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin

    _Admin = ModelAdmin[Any]
else:
    _Admin = object


class RevealActions(_Admin):
    """What may be done with many rows at once. Both are on record, row by row and field by field."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields = [field for field in self.opts.concrete_fields if isinstance(field, VaultField)]
        if fields and getattr(self, "actions", None) is not None:  # an inline has none
            ours = ["reveal_to_file"]
            if any(isinstance(field, EncryptedField) for field in fields):
                ours.append("reencrypt_rows")
            self.actions = [*(self.actions or ()), *ours]

    def has_reveal_to_file_permission(
        self, request: HttpRequest, obj: Any = None, field: str | None = None
    ) -> bool:
        """Whether the user may take values to a file: ``export_plaintext_<model>``.

        Asked without a row for the action itself, and again for each row and field.
        """
        return permissions.allowed(request.user, permissions.EXPORT, self.opts)

    @admin.action(
        permissions=["reveal_to_file"],
        description=gettext_lazy("Reveal encrypted values of selected %(verbose_name_plural)s to a file"),
    )
    def reveal_to_file(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for the reason."""
        pks = list(queryset.values_list("pk", flat=True)[: MOST + 1])
        if len(pks) > MOST:
            told = ngettext("At most %(most)d row at a time.", "At most %(most)d rows at a time.", MOST)
            self.message_user(request, told % {"most": MOST}, messages.ERROR)
            return None
        return export_page(self, request, pks)

    @admin.action(
        permissions=["change"],
        description=gettext_lazy("Re-encrypt selected %(verbose_name_plural)s under new data keys"),
    )
    def reencrypt_rows(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Seal the cells again. Opens them, and shows nothing of them."""
        rows = [row for row in queryset if self.has_change_permission(request, row)]
        fields = [field for field in self.opts.concrete_fields if isinstance(field, EncryptedField)]
        try:
            entries = [_entry(request, row, field) for row in rows for field in fields]
            vaults.access_records().append(entries)
        except AccessNotRecorded:
            self.message_user(request, str(refusals.NO_RECORD), messages.ERROR)
            return
        # queryset.db may be a replica, to read from.
        using = chosen_database(queryset) or router.db_for_write(self.model)
        done = left = 0
        for model in dict.fromkeys(field.model for field in fields):  # a parent's columns are in its table
            own = [field for field in fields if field.model is model]
            columns = Columns(own, Resealing(), using)
            keys = [getattr(row, model._meta.pk.attname) for row in rows]
            for start in range(0, len(keys), _AT_ONCE):
                some = columns.rows().filter(pk__in=keys[start : start + _AT_ONCE])
                try:
                    counts = _sealed_again(columns, columns.read(some), using)
                except NotAsWritten as exc:
                    self.message_user(request, str(exc), messages.ERROR)
                    return
                done += sum(count.renewed for count in counts)
                left += sum(count.left + count.changed_meanwhile for count in counts)
        told = ngettext("%(done)d value was re-encrypted.", "%(done)d values were re-encrypted.", done)
        self.message_user(request, told % {"done": done}, messages.SUCCESS)
        if left:
            told = _(
                "Values left as they are, because they cannot be opened or were changed meanwhile: %(left)d"
            )
            self.message_user(request, told % {"left": left}, messages.WARNING)


#: Rows of one batch.
_AT_ONCE = 500


def _sealed_again(columns: Columns, rows: Sequence[Any], using: str) -> list[ColumnCounts]:
    """Return what became of the cells of ``rows``. One that is refused or locked is left, and told so."""
    batch = columns.prepared(rows)
    try:
        return in_transaction(using, partial(columns.store, batch), tries=1)
    except DatabaseError as exc:
        if not (concerns_rows(exc) or is_locked(exc)):
            raise
        if len(rows) == 1:
            return list(columns.refused(batch, exc).counts.values())
    middle = len(rows) // 2
    return [each for some in (rows[:middle], rows[middle:]) for each in _sealed_again(columns, some, using)]


def _entry(request: HttpRequest, row: Any, field: EncryptedField) -> Entry:
    return requests.entry(
        request,
        admin_settings(),
        "change",
        model=row._meta.label,
        object_pk=str(row.pk),
        field=field.name,
        vault=field.vault_alias,
        outcome="re-encryption",
    )
