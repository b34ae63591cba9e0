"""The masked admin under django-unfold, in a process of its own: it takes the admin's templates over."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent.parent
SCRIPT = """
import warnings
import django
from django.conf import settings
from example_project import settings as clinic

names = {name: getattr(clinic, name) for name in dir(clinic) if name.isupper()}
names |= {
    "INSTALLED_APPS": ["unfold", *clinic.INSTALLED_APPS],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "ALLOWED_HOSTS": ["testserver"],
    "WORKOS_VAULTS": {
        "default": {
            "BACKEND": "django_workos_vault.backends.local.LocalVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"master_key": b"tests only: this is not a secret", "objects_file": ":memory:"},
        }
    },
}
settings.configure(**names)
django.setup()

from django.contrib import admin
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import call_command
from django.test import Client
from unfold.admin import ModelAdmin, TabularInline
from django_workos_vault import vaults
from django_workos_vault.admin import MaskedAdminMixin
from example_project.models import Organization, Patient

site = getattr(admin.site, "_wrapped", admin.site)
assert type(site).__module__.startswith("unfold")


class PatientAdmin(MaskedAdminMixin, ModelAdmin):
    list_display = ("name", "ssn", "email", "notes")
    readonly_fields = ()


class PatientInline(MaskedAdminMixin, TabularInline):
    model = Patient
    extra = 1


class OrganizationAdmin(MaskedAdminMixin, ModelAdmin):
    inlines = [PatientInline]


for model, model_admin in ((Patient, PatientAdmin), (Organization, OrganizationAdmin)):
    admin.site.unregister(model)
    admin.site.register(model, model_admin)

call_command("migrate", verbosity=0)
assert not [message for message in run_checks() if "Admin" in str(message.obj)]
values = {"ssn": "123-45-6789", "email": "ada.lovelace@mail.example", "notes": "a note nobody may read"}
organization = Organization.objects.create(name="Clinic", workos_id="org_1")
patient = Patient.objects.create(organization=organization, name="Ada", **values)
client = Client()
client.force_login(User.objects.create_superuser("root"))


def page(path, posted=None):
    answer = client.post(path, posted, follow=True) if posted else client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    html = answer.content.decode()
    assert "unfold" in html, path
    assert not [value for value in values.values() if value in html], path
    return html


assert "•••• 6789" in page("/admin/clinic/patient/")
change = f"/admin/clinic/patient/{patient.pk}/change/"
assert 'placeholder="•••• 6789"' in page(change)
assert "••••" in page(f"/admin/clinic/organization/{organization.pk}/change/")
posted = {"organization": organization.pk, "name": "Ada L.", "ssn": "", "notes": ""}
posted["email"] = "new@mail.example"
page(change, posted | {"notes-clear": "on"})
saved = Patient.objects.get()
assert (saved.name, saved.ssn, saved.email, saved.notes) == ("Ada L.", values["ssn"], "new@mail.example", "")
assert "enter it once more" in page(change, posted | {"ssn": "987-65-4321", "email": "no address"})
page(f"/admin/clinic/patient/{patient.pk}/history/")
page(f"/admin/clinic/patient/{patient.pk}/delete/")
assert "clinic.Patient.ssn" in page("/admin/django_workos_vault/vaultcheck/")
reveal = f"/admin/clinic/patient/{patient.pk}/reveal/ssn/"
assert f'href="{reveal}"' in page(change)
assert 'value="match"' in page(reveal)
shown = client.post(reveal, {"verb": "reveal"}).content.decode()
assert "unfold" in shown
assert values["ssn"] in shown
assert "reveal_to_file" in page("/admin/clinic/patient/")
page("/admin/django_workos_vault/accessrecord/")
print("all pages")
"""


@pytest.mark.slow
def test_lists_forms_inlines_and_the_vault_page() -> None:
    """Masked, edited and shown as under Django's own templates."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.endswith("all pages\n"), done.stderr[-3000:]
