"""Admins that the tests drive."""

from django.contrib import admin

from django_workos_vault.admin import MaskedAdminMixin
from tests.app.models import Credential, Device, Organization, Patient, Person, Questionnaire


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
