"""``manage.py demo``: what encrypted fields look like in the database, to the program, and in the admin."""

import os
import secrets
import sys
from io import StringIO
from itertools import cycle
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from tqdm import tqdm

from django_workos_vault import vaults
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.exceptions import EnvelopeError, VaultRequestError
from django_workos_vault.fields import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.management.output import style_for
from django_workos_vault.reading import value_or
from example_project.models import Organization, Patient

PATIENTS = 1000
SEED = "clinic"
ORGANIZATIONS = ("Northside", "Harbour", "Old Mill")
LEAVING = "Harbour"
BYTES_SHOWN = 20
USERNAME = "demo"
SUPPORT = "support"
WIDTH = 13
FIELDS = [field for field in Patient._meta.fields if isinstance(field, EncryptedField)]


class Command(BaseCommand):
    """Makes its database itself, and can be run any number of times."""

    help = "Make 1,000 synthetic patients of three organizations and show what becomes of their data."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the tour, section by section."""
        self.colour = style_for(self.stdout, self.style, options["force_color"])
        call_command("migrate", verbosity=0)
        try:
            written = self._write_patients()
        except (EnvelopeError, VaultRequestError) as exc:
            raise CommandError(
                f"The database {connection.settings_dict['NAME']} was written under another key file. They "
                "belong together: delete the database, and run the demo again."
            ) from exc
        values = f"{PATIENTS * len(FIELDS):,} values with"
        self._heading(f"{PATIENTS:,} synthetic patients of {len(ORGANIZATIONS)} organizations")
        self._line("written", f"{values} {written} Vault requests: a key an organization, and the index's")
        self._line("read", f"{values} {self._read_patients()} Vault requests, all keys forgotten in between")
        patient = Patient.objects.select_related("organization").latest("pk")
        self._show_row(patient)
        self._search(patient)
        self._tamper(patient)
        self._withdraw()
        self._renew()
        self._show_admin()

    def _write_patients(self) -> int:
        factories = _factories()
        factories.reseed_random(SEED)
        organizations = [factories.OrganizationFactory(name=name) for name in ORGANIZATIONS]
        Patient.objects.filter(organization__in=organizations).delete()
        progress = tqdm(range(PATIENTS), "patients", file=sys.stderr, leave=False, disable=None)
        patients = [
            factories.PatientFactory.build(organization=organization)
            for organization, _ in zip(cycle(organizations), progress, strict=False)
        ]
        vaults.reset()
        Patient.objects.bulk_create(patients)
        return vaults["default"].stats().requests

    def _read_patients(self) -> int:
        vaults.reset()
        for patient in Patient.objects.all():
            _ = patient.ssn, patient.email, patient.notes
        return vaults["default"].stats().requests

    def _show_row(self, patient: Patient) -> None:
        self._heading(f"One row: {patient.name}, of {patient.organization}")
        self.stdout.write("in the database")
        for field in FIELDS:
            cell = stored_cell(patient, field.name)
            self._line(field.name, f"{cell[:BYTES_SHOWN].hex(' ')} … {len(cell)} bytes", self.colour.ERROR)
        self.stdout.write("opened")
        for field in FIELDS:
            self._line(field.name, getattr(patient, field.name), self.colour.SUCCESS)
        self.stdout.write("masked")
        for field in FIELDS:
            self._line(field.name, field.masked(field.held_by(patient)), self.colour.WARNING)

    def _search(self, patient: Patient) -> None:
        self._heading("A search in ciphertext, by a blind index")
        found = Patient.objects.filter(ssn=patient.ssn)
        self._line("asked", f"Patient.objects.filter(ssn={patient.ssn!r})")
        self._line("found", ", ".join(each.name for each in found), self.colour.SUCCESS)

    def _tamper(self, patient: Patient) -> None:
        self._heading("One bit of one cell is flipped in the database")
        cell = bytearray(stored_cell(patient, "notes"))
        cell[-1] ^= 1
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE clinic_patient SET notes = %s WHERE id = %s", [bytes(cell), patient.pk])
            try:
                _ = Patient.objects.get(pk=patient.pk).notes
            except EnvelopeError as exc:
                self._line("that one", exc, self.colour.ERROR)
            self._line("the others", f"{self._readable():,} of {PATIENTS:,} patients read as before")
            transaction.set_rollback(True)

    def _withdraw(self) -> None:
        leaving = Organization.objects.get(name=LEAVING)
        self._heading(f"{leaving} withdraws its key")
        vaults.reset()
        backend = vaults["default"].backend
        if isinstance(backend, LocalVault):
            backend.revoke("organization_id", leaving.workos_id)
        theirs = Patient.objects.filter(organization=leaving)
        others = Patient.objects.exclude(organization=leaving)
        self._line("theirs", f"{self._readable(theirs):,} of {theirs.count():,} patients can be read")
        self._line("the others", f"{self._readable(others):,} of {others.count():,} read as before")
        vaults.reset()  # a LocalVault without an objects_file forgets what was withdrawn
        self._line("given back", f"{self._readable():,} of {PATIENTS:,} can be read", self.colour.SUCCESS)

    def _readable(self, patients: Any = None) -> int:
        unreadable = object()
        rows = Patient.objects.all() if patients is None else patients
        return sum(value_or(patient, "notes", unreadable) is not unreadable for patient in rows)

    def _renew(self) -> None:
        self._heading("Checked, and sealed again under new keys")
        self._line("vault_check", self._said_by("vault_check")[-1], self.colour.SUCCESS)
        self.stdout.write("  vault_reencrypt clinic.Patient")
        for line in self._said_by("vault_reencrypt", "clinic.Patient"):
            self.stdout.write(f"    {line}")

    def _said_by(self, *command: str) -> list[str]:
        output = StringIO()
        try:
            call_command(*command, stdout=output, stderr=output)
        except CommandError as exc:
            output.write(str(exc))
        return output.getvalue().strip().splitlines()

    def _show_admin(self) -> None:
        password = secrets.token_urlsafe(9)
        administrator, _ = User.objects.get_or_create(username=USERNAME, is_staff=True, is_superuser=True)
        support, _ = User.objects.get_or_create(username=SUPPORT, is_staff=True, is_superuser=False)
        views = Permission.objects.filter(content_type__app_label="clinic", codename__startswith="view_")
        support.user_permissions.set(views.exclude(codename__startswith="view_plaintext_"))
        for user in (administrator, support):
            user.set_password(password)
            user.save()
        self._heading("The admin, masked")
        self._line("start it", f"{_interpreter()} manage.py runserver")
        self._line("open", "http://127.0.0.1:8000/admin/clinic/patient/")
        self._line("user name", USERNAME)
        self._line("password", f"{password} (made for this run)")
        self._line("click", "a patient, then Reveal beside a mask; WorkOS Vault > Vault, and Access records")
        self._line("or as", f"{SUPPORT}, the same password: sees masks, and reveals nothing")

    def _heading(self, text: str) -> None:
        self.stdout.write("\n" + self.colour.MIGRATE_HEADING(text))

    def _line(self, name: str, value: object, style: Any = str) -> None:
        self.stdout.write(f"  {name:<{WIDTH}}{style(str(value))}")


def _factories() -> Any:
    try:
        from example_project import factories
    except ModuleNotFoundError as exc:
        raise CommandError('The demo needs its extra: pip install -e ".[demo]"') from exc
    return factories


def _interpreter() -> str:
    python = Path(sys.executable)
    return os.path.relpath(python) if python.is_relative_to(Path.cwd()) else str(python)
