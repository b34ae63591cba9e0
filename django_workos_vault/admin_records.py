"""The record of who saw what, in the admin: to be read, and nothing else."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from django_workos_vault.models import AccessRecord

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[AccessRecord]
else:
    _Admin = admin.ModelAdmin


class AccessRecordAdmin(_Admin):
    """Shows access records to those who may view them. Nobody adds, changes or deletes one here."""

    list_display = (
        "sequence",
        "at",
        "username",
        "action",
        "model",
        "object_pk",
        "field",
        "reason",
        "outcome",
    )
    list_filter = ("action", "at")
    search_fields = ("=username", "=object_pk", "=model", "=field")
    list_display_links = ("sequence",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
