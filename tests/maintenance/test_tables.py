"""Tables of another schema, or whose name a server has in other case, are no missing ones."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connection, models, transaction
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.maintenance.tables import Tables
from django_workos_vault.overview.columns import sampled_columns
from tests.checked import checked
from tests.files.models import Scan
from tests.maintenance.reencrypting import reencrypt

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

TYPES = {"sqlite": "blob", "postgresql": "bytea", "mysql": "longblob"}


def elsewhere() -> str:
    """Return the name of a table in a schema that is named too, as projects write it for Django."""
    if connection.vendor == "mysql":
        return f"{connection.settings_dict['NAME']}`.`elsewhere"
    return 'main"."elsewhere' if connection.vendor == "sqlite" else 'aside"."elsewhere'


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def model() -> Iterator[Any]:
    name = connection.ops.quote_name(elsewhere())
    schema = connection.vendor == "postgresql"
    execute(
        *(["CREATE SCHEMA aside"] if schema else []),
        f"CREATE TABLE {name} (id integer PRIMARY KEY, secret {TYPES[connection.vendor]}, file varchar(100))",
    )
    meta = type("Meta", (), {"app_label": "app", "db_table": elsewhere(), "managed": False})
    columns = {
        "id": models.IntegerField(primary_key=True),
        "secret": EncryptedCharField(max_length=9, null=True, key_context={"organization_id": "org_1"}),
        "file": models.FileField(blank=True),
        "__str__": lambda self: "elsewhere",
    }
    yield type("Elsewhere", (models.Model,), {**columns, "Meta": meta, "__module__": __name__})
    del apps.all_models["app"]["elsewhere"]
    apps.clear_cache()
    execute(f"DROP TABLE {name}", *(["DROP SCHEMA aside"] if schema else []))


def test_its_cells_are_those_of_the_customer(model: Any) -> None:
    """vault_forget, vault_check and the page of the admin look at them."""
    model(pk=1, secret="a secret").save(force_insert=True)
    assert "1 rows" in reencrypt("app.Elsewhere")
    out = StringIO()
    call_command("vault_forget", "organization_id=org_1", plan=True, format="json", stdout=out)
    [column] = json.loads(out.getvalue())["columns"]
    assert (column["column"], column["inline"]) == ("app.Elsewhere.secret", 1)
    [column] = [each for each in checked()["columns"] if "Elsewhere" in each["column"]]
    assert column["opened"] == 1
    [sample] = [each for each in sampled_columns() if "Elsewhere" in each.column]
    assert sample.looked_at == 1


def test_a_file_that_a_row_there_has_is_not_deleted(model: Any, settings: Any, tmp_path: Path) -> None:
    """Its encrypted twin gets a new file, and the old one stays for the other row."""
    settings.MEDIA_ROOT = tmp_path
    scan = Scan.objects.create(file=ContentFile(b"a scan", name="a.png"))
    model(pk=1, file=scan.file.name).save(force_insert=True)
    reencrypt("files.Scan.file")
    assert (tmp_path / scan.file.name).exists()
    model.objects.all().delete()
    scan.refresh_from_db()
    reencrypt("files.Scan.file")
    assert not (tmp_path / scan.file.name).exists()


@pytest.mark.parametrize("name", ["nowhere", 'no"."where', "no`.`where", "FILES_SCAN"])
def test_names(name: str) -> None:
    """What is not there is told so, also within a transaction, which goes on. SQLite takes any case."""
    with isolate_apps("tests.app"):
        meta = type("Meta", (), {"app_label": "app", "db_table": name})
        named: Any = type("Named", (models.Model,), {"Meta": meta, "__module__": __name__, "__str__": str})
    with transaction.atomic():
        tables = Tables("default")
        assert tables.have(named) is (name == "FILES_SCAN" and connection.vendor == "sqlite")
        assert tables.have(Scan)
        assert not Scan.objects.exists()
