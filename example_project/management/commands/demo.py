"""``manage.py demo``: what encrypted fields look like in the database, to the program, and in the admin."""

import os
import secrets
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.masking import masked_value
from django_workos_vault.management.output import style_for
from example_project.models import Patient

PATIENTS = 1000
SEED = "clinic"
ORGANIZATIONS = ("Northside", "Harbour", "Old Mill")
BYTES_SHOWN = 20
USERNAME = "demo"
WIDTH = 12


class Command(BaseCommand):
    """Makes its database itself, and can be run any number of times."""

    help = "Make 1,000 synthetic patients of three organizations and show what becomes of their data."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the tour, section by section."""
        self.colour = style_for(self.stdout, self.style, options["force_color"])
        call_command("migrate", verbosity=0)
        try:
            writing = self._write_patients()
        except EnvelopeError as exc:
            raise CommandError(
                f"The database {connection.settings_dict['NAME']} was written under another key file. They "
                "belong together: delete the database, and run the demo again."
            ) from exc
        reading = self._read_patients()
        self._heading(f"{PATIENTS:,} synthetic patients of {len(ORGANIZATIONS)} organizations")
        self._line("written", f"with {writing} Vault requests")
        self._line("read", f"with {reading} Vault requests, all keys forgotten in between")
        self._show_row(Patient.objects.select_related("organization").latest("pk"))
        self._heading("vault_check")
        self._run("vault_check")
        self._heading("vault_reencrypt: every patient sealed again, under new data keys")
        self._run("vault_reencrypt", "clinic.Patient")
        self._show_admin()

    def _write_patients(self) -> int:
        factories = _factories()
        factories.reseed_random(SEED)
        organizations = [factories.OrganizationFactory(name=name) for name in ORGANIZATIONS]
        Patient.objects.filter(organization__in=organizations).delete()
        patients = [
            factories.PatientFactory.build(organization=organization)
            for organization in islice(cycle(organizations), PATIENTS)
        ]
        vaults.reset()
        Patient.objects.bulk_create(patients)
        return vaults["default"].backend.requests_made

    def _read_patients(self) -> int:
        vaults.reset()
        for patient in Patient.objects.all():
            _ = patient.ssn, patient.email, patient.notes
        return vaults["default"].backend.requests_made

    def _show_row(self, patient: Patient) -> None:
        fields = [field for field in Patient._meta.fields if isinstance(field, EncryptedField)]
        self._heading(f"One row: {patient.name}, of {patient.organization}")
        self.stdout.write("in the database")
        with connection.cursor() as cursor:
            columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
            table = connection.ops.quote_name(Patient._meta.db_table)
            cursor.execute(f"SELECT {columns} FROM {table} WHERE id = %s", [patient.pk])  # noqa: S608
            for field, cell in zip(fields, cursor.fetchone(), strict=True):
                start = bytes(cell)[:BYTES_SHOWN].hex(" ")
                self._line(field.name, f"{start} … {len(cell)} bytes", self.colour.ERROR)
        self.stdout.write("opened")
        for field in fields:
            self._line(field.name, getattr(patient, field.name), self.colour.SUCCESS)
        self.stdout.write("masked")
        for field in fields:
            self._line(field.name, masked_value(field, field.held_by(patient)), self.colour.WARNING)

    def _show_admin(self) -> None:
        password = secrets.token_urlsafe(9)
        user, _ = User.objects.get_or_create(username=USERNAME, is_staff=True, is_superuser=True)
        user.set_password(password)
        user.save()
        self._heading("The admin, masked")
        self._line("start it", f"{_interpreter()} manage.py runserver")
        self._line("open", "http://127.0.0.1:8000/admin/clinic/patient/")
        self._line("user name", USERNAME)
        self._line("password", f"{password} (made for this run)")

    def _run(self, *command: str) -> None:
        try:
            call_command(*command, stdout=self.stdout, stderr=self.stderr)
        except CommandError as exc:
            self.stdout.write(self.colour.ERROR(str(exc)))

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
