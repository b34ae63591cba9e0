"""The record of who saw what, in the admin: to be read, and nothing else."""

from django_workos_vault.admin_read_only import ReadOnlyAdmin


class AccessRecordAdmin(ReadOnlyAdmin):
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
