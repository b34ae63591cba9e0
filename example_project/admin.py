"""The clinic in the admin."""

from django.contrib import admin

from example_project.models import Organization


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):
    """Organizations have nothing to hide."""

    list_display = ("name", "workos_id")
    search_fields = ("name", "workos_id")
