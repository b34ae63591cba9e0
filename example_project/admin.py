"""The clinic in the admin."""

from django.contrib import admin

from django_workos_vault.admin import MaskedAdminMixin
from example_project.models import Organization, Patient


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    """Organizations have nothing to hide."""

    list_display = ("name", "workos_id")
    search_fields = ("name", "workos_id")


@admin.register(Patient)
class PatientAdmin(MaskedAdminMixin, admin.ModelAdmin):
    """The mixin masks what is encrypted; nothing else differs from any other ModelAdmin."""

    list_display = ("name", "organization", "ssn", "email", "notes")
    list_filter = ("organization",)
    list_select_related = ("organization",)
    search_fields = ("name",)
