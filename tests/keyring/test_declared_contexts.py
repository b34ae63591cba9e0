"""``DECLARED_CONTEXTS``: nothing is sealed under a key context that nobody declared."""

import json
import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import override_settings

from django_workos_vault import conf, vaults
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration, UndeclaredKeyContext
from django_workos_vault.fields import stored_cell
from tests.app.models import Account, Contract, Organization, Patient, Person
from tests.checked import checked

pytestmark = [pytest.mark.django_db(databases="__all__"), pytest.mark.usefixtures("outside_of_checkouts")]

KNOWN = ["org_known"]
REFUSED = r"item 'organization_id' .* DECLARED_CONTEXTS .* misspelt"


def is_known(value):
    return value in KNOWN


DECLARED = {
    "list": ["org_known"],
    "tuple": ("org_known",),
    "set": {"org_known"},
    "function": is_known,
    "path of a function": "tests.keyring.test_declared_contexts.is_known",
    "path of a list": "tests.keyring.test_declared_contexts.KNOWN",
}


@pytest.fixture
def declare(settings, vault_emulator):
    """Return a function that configures the emulator's client with declared organizations."""

    def configure(organizations=None, **more):
        declared = {} if organizations is None else {"organization_id": organizations}
        settings.WORKOS_VAULTS = {
            "default": {
                "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
                "KEY_CONTEXT": {"app": "tests"},
                "DECLARED_CONTEXTS": declared | more,
                "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
            }
        }

    return configure


def organization(workos_id):
    return Organization.objects.create(name="Clinic", workos_id=workos_id)


def requests():
    return vaults["default"].backend.requests_made


WRITES = {
    "save": lambda org: Patient(organization=org, ssn="1").save(),
    "create": lambda org: Patient.objects.create(organization=org, ssn="1"),
    "bulk_create": lambda org: Patient.objects.bulk_create([Patient(organization=org, ssn="1")]),
    "update_or_create": lambda org: Patient.objects.update_or_create(organization=org, defaults={"ssn": "1"}),
    "object": lambda org: Contract.objects.create(organization=org, terms="net 30"),
}


class TestSealing:
    @pytest.mark.parametrize("declared", DECLARED.values(), ids=DECLARED)
    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_undeclared(self, declare, declared, write):
        """A misspelt id is an error before any request, which names the item and not the value."""
        declare(declared)
        org = organization("org_knwon")
        with pytest.raises(UndeclaredKeyContext, match=REFUSED) as caught, transaction.atomic():
            write(org)
        assert "org_knwon" not in str(caught.value)
        assert requests() == 0
        assert not Patient.objects.exists()

    @pytest.mark.parametrize("declared", DECLARED.values(), ids=DECLARED)
    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_declared(self, declare, declared, write):
        """A declared id is sealed under as ever."""
        declare(declared)
        write(organization("org_known"))
        assert requests() > 0

    def test_other_items(self, declare):
        """Items that are not named may have any value."""
        declare(KNOWN)
        assert Person.objects.create(name="Ada", ssn="123-45-6789").pk

    def test_default_context(self, declare):
        """The vault's own key context is compared as well, for cells and for blind indexes."""
        declare(app=["clinic"])
        with pytest.raises(UndeclaredKeyContext, match="item 'app'"), transaction.atomic():
            Person.objects.create(name="Ada", ssn="123-45-6789")
        with pytest.raises(UndeclaredKeyContext, match="item 'app'"):
            Account.objects.filter(email="a@example.org").exists()
        assert requests() == 0

    def test_new_key(self, declare):
        """No new key is made for it either."""
        declare(KNOWN)
        with pytest.raises(UndeclaredKeyContext):
            vaults["default"].keyring.retire(KeyContext({"organization_id": "org_knwon"}))
        assert requests() == 0

    def test_one_of_many(self, declare):
        """The keys of the others in a bulk are made all the same."""
        declare(KNOWN)
        contexts = [KeyContext({"organization_id": name}) for name in ("org_known", "org_knwon")]
        ring = vaults["default"].keyring
        ring.prepare(contexts)
        assert [ring.is_ready(context) for context in contexts] == [True, False]


class TestLater:
    def test_no_longer_declared(self, declare):
        """What was sealed opens on; a key that is on record seals no more."""
        declare(["org_known", "org_gone"])
        org = organization("org_gone")
        patient = Patient.objects.create(organization=org, ssn="1")
        Contract.objects.create(organization=org, terms="net 30")
        declare(KNOWN)
        assert Patient.objects.get().ssn == "1"
        assert Contract.objects.get().terms == "net 30"
        patient = Patient.objects.get()
        patient.ssn = "2"
        with pytest.raises(UndeclaredKeyContext):
            patient.save()

    @pytest.mark.parametrize("options", [[], ["--rekey"]], ids=["re-encrypt", "rekey"])
    def test_reencryption(self, declare, options):
        """A row whose id is not declared is left as it is and told; the others are done."""
        declare(["org_known", "org_knwon"])
        rows = [
            Patient.objects.create(organization=organization(name), ssn="1")
            for name in ("org_knwon", "org_known")
        ]
        before = [stored_cell(Patient.objects.get(pk=row.pk), "ssn") for row in rows]
        declare(KNOWN)
        out = StringIO()
        with pytest.raises(CommandError):
            call_command("vault_reencrypt", "app.Patient.ssn", *options, stdout=out, stderr=out)
        after = [stored_cell(Patient.objects.get(pk=row.pk), "ssn") for row in rows]
        assert before[0] == after[0]
        assert before[1] != after[1]

    def test_vault_check(self, declare):
        """The command names every data key of an undeclared context."""
        declare(["org_known", "org_knwon"])
        for name in ("org_known", "org_knwon"):
            Patient.objects.create(organization=organization(name), ssn="1")
        assert self.found()[0]["message"] == "All 2 key contexts with a data key are declared."
        declare(KNOWN)
        (found,) = self.found()
        assert (found["status"], "misspelt" in found["message"]) == ("problem", True)
        assert "org_knwon" not in json.dumps(found)

    def test_what_vault_check_advises(self, declare):
        """Followed to its end, it leaves nothing to tell."""
        declare(["org_known", "org_knwon"])
        Patient.objects.create(organization=organization("org_knwon"), ssn="1")
        declare(KNOWN)
        (found,) = self.found()
        assert re.findall(r"rows|vault_\w+", found["advice"]) == ["rows", "vault_reencrypt", "vault_forget"]
        Organization.objects.update(workos_id="org_known")
        call_command("vault_reencrypt", "app.Patient", stdout=StringIO(), stderr=StringIO())
        call_command("vault_forget", "organization_id=org_knwon", yes=True, stdout=StringIO())
        (found,) = self.found()
        assert found["status"] == "ok"
        assert Patient.objects.get().ssn == "1"

    def test_vault_check_without(self, declare):
        """Without a declaration it says that nothing can be told."""
        declare()
        (found,) = self.found()
        assert found["status"] == "skipped"
        assert "does not say" in found["message"]

    def found(self):
        with override_settings(DEBUG=True):
            return [one for one in checked()["findings"] if one["step"] == "key contexts"]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (["organization_id"], "must be a dict"),
        ({1: ["x"]}, "must be a dict"),
        ({"organization_id": 1}, "must be a list"),
        ({"organization_id": [1]}, "must be a list"),
        ({"organization_id": {"org_1": 1}}, "must be a list"),
        ({"organization_id": "no.such.path"}, "No module named"),
        ({"organization_id": "org_1"}, "org_1"),
    ],
)
def test_wrong_settings(settings, declared, message):
    """A declaration that is none names alias and option."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.local.LocalVault",
            "DECLARED_CONTEXTS": declared,
            "OPTIONS": {"master_key": b"m" * 32},
        }
    }
    with pytest.raises(InvalidVaultConfiguration, match=rf"\['default'\]\['DECLARED_CONTEXTS'\].*{message}"):
        conf.vault_settings("default")
