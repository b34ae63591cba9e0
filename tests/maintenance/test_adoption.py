"""A plaintext column becomes an encrypted one while the application goes on writing."""

import os
import random
import threading
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ProjectState

from django_workos_vault.exceptions import VaultError
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.reencryption.adoption import ColumnsDiffer
from django_workos_vault.operations import EncryptColumn, VerifyEncryptedColumn
from tests.app.models import Citizen

#: 100,000 for the run that docs/adopting.md quotes.
ROWS = int(os.environ.get("VAULT_TEST_ADOPTION_ROWS", "300"))

pytestmark = pytest.mark.django_db(transaction=True)


def run(operation: EncryptColumn, backwards: bool = False) -> None:
    state = ProjectState.from_apps(apps)
    with connection.schema_editor(atomic=False) as editor:
        move = operation.database_backwards if backwards else operation.database_forwards
        move("app", editor, state, state)


def encrypt(**options: Any) -> EncryptColumn:
    return EncryptColumn("Citizen", plain="tax_id", encrypted="tax_id_sealed", **options)


def verify() -> VerifyEncryptedColumn:
    return VerifyEncryptedColumn("Citizen", plain="tax_id", encrypted="tax_id_sealed")


def plaintext_only(*values: str | None) -> None:
    Citizen.objects.bulk_create(Citizen(tax_id=value) for value in values)


def test_copy_seals_every_value() -> None:
    """Each row's plaintext ends up in its encrypted column; NULL stays NULL, an empty string empty."""
    plaintext_only("123", "", None)
    run(encrypt(batch_size=2))
    assert [c.tax_id_sealed for c in Citizen.objects.order_by("pk")] == ["123", "", None]


def test_copy_begun_again_leaves_what_is_done() -> None:
    """A second run rewrites nothing that already agrees, so an interrupted one can simply be repeated."""
    plaintext_only("1", "2")
    run(encrypt())
    cells = [stored_cell(c, "tax_id_sealed") for c in Citizen.objects.order_by("pk")]
    plaintext_only("3")
    run(encrypt())
    loaded = Citizen.objects.order_by("pk")
    assert [stored_cell(c, "tax_id_sealed") for c in loaded][:2] == cells
    assert [c.tax_id_sealed for c in loaded] == ["1", "2", "3"]


def test_stale_copies_are_corrected() -> None:
    """A row that some code wrote without dual-writing is sealed again."""
    plaintext_only("1")
    run(encrypt())
    Citizen.objects.update(tax_id="2")
    with pytest.raises(ColumnsDiffer, match="1 rows"):
        run(verify())
    run(encrypt())
    run(verify())
    assert Citizen.objects.get().tax_id_sealed == "2"


def test_reverse_writes_the_plaintext_back() -> None:
    """Until the plaintext column is dropped, the migration can be reversed."""
    plaintext_only("1", None)
    run(encrypt())
    Citizen.objects.update(tax_id=None)
    run(encrypt(), backwards=True)
    assert [c.tax_id for c in Citizen.objects.order_by("pk")] == ["1", None]


def test_reverse_writes_over_nothing() -> None:
    """A plaintext that some code wrote alone may be the newer value: the rows are named, and stay."""
    plaintext_only("1", "2", "3")
    run(encrypt())
    stale, missing, lacking = Citizen.objects.order_by("pk")
    Citizen.objects.filter(pk=stale.pk).update(tax_id="newer")
    Citizen.objects.filter(pk=missing.pk).update(tax_id_sealed=None)
    Citizen.objects.filter(pk=lacking.pk).update(tax_id=None)
    with pytest.raises(ColumnsDiffer, match=rf"2 rows .* keys {stale.pk}, {missing.pk}\. .* save those rows"):
        run(encrypt(), backwards=True)
    assert [c.tax_id for c in Citizen.objects.order_by("pk")] == ["newer", "2", "3"]
    for citizen in Citizen.objects.all():
        citizen.save()
    run(encrypt(), backwards=True)


def test_verifying_never_quotes_a_value() -> None:
    """The error names rows by primary key."""
    plaintext_only("very secret")
    with pytest.raises(ColumnsDiffer) as caught:
        run(verify())
    assert "secret" not in str(caught.value)


def test_cell_that_cannot_be_opened_stops_the_run_and_stays() -> None:
    """Damage is reported, never overwritten by the copy."""
    plaintext_only("1")
    run(encrypt())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE app_citizen SET tax_id_sealed = %s", [b"damaged"])
    with pytest.raises(ColumnsDiffer, match="cannot be opened"):
        run(encrypt())
    with connection.cursor() as cursor:
        cursor.execute("SELECT tax_id_sealed FROM app_citizen")
        assert bytes(cursor.fetchone()[0]) == b"damaged"


def test_nothing_is_lost_while_a_writer_writes() -> None:
    """A writer changes, clears and adds rows all the while; in the end both columns agree on every row."""
    plaintext_only(*(f"initial {number}" for number in range(ROWS)))
    first, done, written = (
        Citizen.objects.order_by("pk").values_list("pk", flat=True)[0],
        threading.Event(),
        [],
    )

    def write() -> None:
        chance = random.Random(7)
        try:
            while not done.is_set():
                citizen = Citizen.objects.get(pk=first + chance.randrange(ROWS))
                citizen.tax_id = chance.choice([f"written {len(written)}", "", None])
                citizen.save(update_fields=["tax_id"])
                Citizen.objects.create(tax_id=f"added {len(written)}")
                written.append((citizen.pk, citizen.tax_id))
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        run(encrypt(batch_size=100))
    finally:
        done.set()
        writer.join()
    run(verify())
    assert written
    for pk, value in dict(written).items():
        assert Citizen.objects.get(pk=pk).tax_id_sealed == value


def test_unreachable_vault_stops_the_copy_and_loses_nothing(settings: Any) -> None:
    """The plaintext stays where it is, and the copy is begun again once Vault is back."""
    plaintext_only("1")
    working = settings.WORKOS_VAULTS
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": "sk_test_nobody", "base_url": "http://127.0.0.1:9", "deadline": 0.2},
        }
    }
    with pytest.raises(VaultError):
        run(encrypt())
    settings.WORKOS_VAULTS = working
    assert Citizen.objects.get().tax_id == "1"
    run(encrypt())
    assert Citizen.objects.get().tax_id_sealed == "1"


def test_operation_describes_itself() -> None:
    """What ``migrate`` prints and ``makemigrations`` writes."""
    operation = encrypt()
    assert operation.describe() == "Encrypt tax_id of Citizen into tax_id_sealed"
    assert operation.migration_name_fragment == "encrypt_citizen_tax_id"
    name, args, kwargs = operation.deconstruct()
    assert EncryptColumn(*args, **kwargs).deconstruct() == (name, args, kwargs)
