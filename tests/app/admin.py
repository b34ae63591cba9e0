"""Admins that the tests drive."""

from django.contrib import admin
from import_export.admin import ImportExportModelAdmin

from django_workos_vault.admin import AccessRecordAdmin, MaskedAdminMixin, VaultPageAdmin
from django_workos_vault.models import AccessRecord, VaultCheck
from tests.app.everything import EACH_TYPE
from tests.app.models import Credential, Device, Everywhere, Organization, Patient, Person, Questionnaire

#: A site beside Django's own.
other_site = admin.AdminSite(name="other")
other_site.register(AccessRecord, AccessRecordAdmin)
other_site.register(VaultCheck, VaultPageAdmin)


@admin.register(Person)
class PersonAdmin(MaskedAdminMixin, admin.ModelAdmin):
    list_display = ("name", "ssn", "notes", "email")
    list_display_links = ("name", "ssn")


class PatientInline(MaskedAdminMixin, admin.TabularInline):
    model = Patient
    extra = 1


@admin.register(Organization)
class OrganizationAdmin(MaskedAdminMixin, admin.ModelAdmin):
    inlines = (PatientInline,)


@admin.register(Patient)
class PatientAdmin(MaskedAdminMixin, admin.ModelAdmin):
    list_display = ("pk", "organization", "ssn")
    readonly_fields = ("ssn",)


@admin.register(Device)
class DeviceAdmin(MaskedAdminMixin, admin.ModelAdmin):
    list_display = ("name", "organization", "pin")


@admin.register(Questionnaire)
class QuestionnaireAdmin(MaskedAdminMixin, admin.ModelAdmin):
    list_display = tuple(field.name for field in Questionnaire._meta.concrete_fields)


@admin.register(Credential)
class CredentialAdmin(MaskedAdminMixin, admin.ModelAdmin):
    list_display = ("name", "token")


class StackedChild(MaskedAdminMixin, admin.StackedInline):
    model = Everywhere
    extra = 0


class TabularChild(MaskedAdminMixin, admin.TabularInline):
    model = Everywhere
    extra = 0
    readonly_fields = EACH_TYPE


@admin.register(Everywhere)
@admin.register(Everywhere, site=other_site)
class EverywhereAdmin(MaskedAdminMixin, ImportExportModelAdmin):
    """Every type, wherever Django and django-import-export show a value."""

    list_display = ("pk", *EACH_TYPE, "parent")
    list_display_links = ("pk", *EACH_TYPE)
    list_filter = ("parent",)
    search_fields = ("pk",)
    ordering = ("pk",)
    autocomplete_fields = ("parent",)
    inlines = (StackedChild, TabularChild)
