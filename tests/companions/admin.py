"""Masked admins in front of those of other packages."""

from django.contrib import admin
from reversion.admin import VersionAdmin
from simple_history.admin import SimpleHistoryAdmin

from django_workos_vault.admin import MaskedAdminMixin
from tests.companions.models import Letter, Memo


@admin.register(Letter)
class LetterAdmin(MaskedAdminMixin, SimpleHistoryAdmin):
    list_display = ("title", "ssn", "number")
    history_list_display = ("title", "ssn", "number")


@admin.register(Memo)
class MemoAdmin(MaskedAdminMixin, VersionAdmin):
    list_display = ("title", "ssn", "number")
