"""``python -m tests.benchmarks.comparison``: the facts of docs/comparison.md, each found out by trying.

Installs each package alone, into a directory that is gone afterwards, beside the Django of this environment,
and does the same to one encrypted column of two rows: search, change a stored value, exchange two of them,
take another key. Prints a table. A package that does not install or import is in it, with the reason.
"""

import importlib
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
SSN, OTHER = "123-45-6789", "987-65-4321"
FERNET = ["A" * 43 + "=", "B" * 43 + "="]
HEX = ["aa" * 32, "bb" * 32]
CIPHERTEXT = "**the ciphertext, no error**"
INDEXES = {"django-workos-vault": "a blind index", "django-searchable-encrypted-fields": "a `SearchField`"}
LOCAL = "django_workos_vault.backends.local.LocalVault"


def ours(key: int) -> dict[str, Any]:
    options = {"master_key": bytes([key + 1]) * 32}
    return {"WORKOS_VAULTS": {"default": {"BACKEND": LOCAL, "KEY_CONTEXT": {"a": "b"}, "OPTIONS": options}}}


#: name: what pip installs, an app, settings with key 0 or 1, with both (1 seals, 0 opens), the field's path.
PACKAGES: dict[str, tuple[list[str], str, Callable[[int], dict[str, Any]], dict[str, Any] | None, str]] = {
    "django-workos-vault": ([], "django_workos_vault", ours, None, "fields.EncryptedCharField"),
    "django-fernet-encrypted-fields": (
        ["django-fernet-encrypted-fields"],
        "encrypted_fields",
        lambda key: {"SALT_KEY": f"salt {key}"},
        {"SALT_KEY": ["salt 1", "salt 0"]},
        "fields.EncryptedCharField",
    ),
    "django-encrypted-model-fields": (
        ["django-encrypted-model-fields"],
        "encrypted_model_fields",
        lambda key: {"FIELD_ENCRYPTION_KEY": FERNET[key]},
        {"FIELD_ENCRYPTION_KEY": FERNET[::-1]},
        "fields.EncryptedCharField",
    ),
    "django-encrypted-json-fields": (
        ["django-encrypted-json-fields"],
        "encrypted_json_fields",
        lambda key: {"EJF_ENCRYPTION_KEYS": FERNET[key]},
        {"EJF_ENCRYPTION_KEYS": FERNET[::-1]},
        "fields.EncryptedCharField",
    ),
    "django-cryptography-5": (
        ["django-cryptography-5", "django-appconf"],
        "django_cryptography",
        lambda key: {"CRYPTOGRAPHY_KEY": f"key {key}"},
        None,
        "fields.encrypt",
    ),
    "django-cryptography": (
        ["django-cryptography", "django-appconf"],
        "django_cryptography",
        lambda key: {"CRYPTOGRAPHY_KEY": f"key {key}"},
        None,
        "fields.encrypt",
    ),
    "django-searchable-encrypted-fields": (
        ["django-searchable-encrypted-fields", "pycryptodome"],
        "encrypted_fields",
        lambda key: {"FIELD_ENCRYPTION_KEYS": [HEX[key]]},
        {"FIELD_ENCRYPTION_KEYS": HEX[::-1]},
        "fields.EncryptedCharField",
    ),
}
FACTS = (
    "version",
    "finds a row by its value",
    "`contains` on the column",
    "one bit of a stored value changed",
    "a value copied to another row",
    "a value copied to another column",
    "opened with another key",
    "old key kept beside a new one",
    "rows with a bad value in a list",
)


def main() -> None:
    """Print the table."""
    found = {name: facts_of(name) for name in PACKAGES}
    print("| | " + " | ".join(found) + " |")
    print("| --- " * (len(found) + 1) + "|")
    for fact in FACTS:
        print(f"| {fact} | " + " | ".join(facts.get(fact, "") for facts in found.values()) + " |")


def facts_of(name: str) -> dict[str, str]:
    """What one package does, found out in a process of its own."""
    packages = PACKAGES[name][0]
    with tempfile.TemporaryDirectory() as directory:
        if packages:
            pip = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-deps",
                "--target",
                directory,
                *packages,
            ]
            if subprocess.run(pip, check=False, capture_output=True).returncode:
                return {"version": "not run: does not install"}
        facts = {}
        for stage in ("try", "other", "both"):
            asked = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.benchmarks.comparison",
                name,
                stage,
                directory,
            ]
            done = subprocess.run(asked, cwd=CHECKOUT, check=False, capture_output=True, text=True)
            if done.returncode:
                return {"version": f"not run: `{done.stderr.strip().splitlines()[-1].partition(' (')[0]}`"}
            facts |= json.loads(done.stdout)
    return facts


def one(name: str, stage: str, directory: str) -> dict[str, str]:
    """Try one package, with key 0, then with another, then with both."""
    packages, app, keys, both, path = PACKAGES[name]
    sys.path.insert(0, directory)
    import django
    from django.conf import settings

    if stage == "both" and both is None:
        return {}
    database = Path(directory) / "facts.sqlite3"
    settings.configure(
        SECRET_KEY="x" * 50,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", app],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        **(both if stage == "both" and both else keys(1 if stage == "other" else 0)),
    )
    django.setup()
    from django.core.management import call_command
    from django.db import connection, models

    module, _, attribute = path.rpartition(".")
    field = getattr(importlib.import_module(f"{app}.{module}"), attribute)
    make = (
        (lambda: field(models.CharField(max_length=50)))
        if attribute == "encrypt"
        else (lambda: field(max_length=50))
    )
    meta = type("Meta", (), {"app_label": app, "db_table": "facts"})
    columns = {"a": make(), "b": make(), **extras(name)}
    row: Any = type("Row", (models.Model,), {"__module__": app, "Meta": meta, **columns})

    def read(pk: int, column: str = "a") -> str:
        try:
            value = getattr(row.objects.get(pk=pk), column)
        except Exception as error:
            return f"error: `{type(error).__name__}`"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {column} FROM facts WHERE id = %s", [pk])
            known = {SSN: "the value", OTHER: "**the other row's value**", cursor.fetchone()[0]: CIPHERTEXT}
        return known.get(value, "**something else, no error**")

    def stored(change: str, *parameters: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(change, parameters)

    if stage == "other":
        return {"opened with another key": read(1)}
    if stage == "both":
        return {"old key kept beside a new one": read(1)}
    call_command("migrate", verbosity=0, run_syncdb=True)
    with connection.schema_editor() as editor:
        editor.create_model(row)
    facts = {"version": version_of(packages)}
    for value in (SSN, OTHER, OTHER):
        row.objects.create(a=value, b=value, **dict.fromkeys(set(columns) - {"a", "b", "row_id"}, value))
    facts["finds a row by its value"] = answer(lambda: row.objects.filter(a=SSN).count())
    if "indexed" in columns:
        found = answer(lambda: row.objects.filter(indexed=SSN).count())
        facts["finds a row by its value"] += f"; with {INDEXES[name]}: {found}"
    facts["`contains` on the column"] = answer(lambda: row.objects.filter(a__contains="123").count())
    with connection.cursor() as cursor:
        cursor.execute("SELECT a FROM facts WHERE id = 2")
        cell = cursor.fetchone()[0]
    changed = bytearray(cell.encode() if isinstance(cell, str) else cell)
    changed[-9] ^= 1
    stored(
        "UPDATE facts SET a = %s WHERE id = 3", changed.decode() if isinstance(cell, str) else bytes(changed)
    )
    facts["one bit of a stored value changed"] = read(3)
    try:
        facts["rows with a bad value in a list"] = f"{len(list(row.objects.all()))} of 3 load"
    except Exception as error:
        facts["rows with a bad value in a list"] = f"the list fails: `{type(error).__name__}`"
    stored("DELETE FROM facts WHERE id = 3")
    stored("UPDATE facts SET b = a WHERE id = 1")
    facts["a value copied to another column"] = read(1, "b")
    stored("UPDATE facts SET a = (SELECT a FROM facts WHERE id = 2) WHERE id = 1")
    facts["a value copied to another row"] = read(1)
    if app == "django_workos_vault":
        stored("UPDATE facts SET bound = (SELECT bound FROM facts WHERE id = 2) WHERE id = 1")
        facts["a value copied to another row"] += f"; with `bind_to`: {read(1, 'bound')}"
        from django_workos_vault import vaults

        row.objects.create(pk=4, a=SSN, b=SSN, indexed=SSN, bound=SSN)
        vaults["default"].rotate()
        row.objects.create(pk=5, a=SSN, b=SSN, indexed=SSN, bound=SSN)
        facts["old key kept beside a new one"] = read(4) if read(5) == "the value" else "**lost**"
    row.objects.filter(pk=1).delete()
    row.objects.create(pk=1, **dict.fromkeys(set(columns) - {"row_id"}, SSN))
    return facts


def extras(name: str) -> dict[str, Any]:
    """Columns that show what a package has beyond its plain field."""
    from django.db import models

    if name == "django-workos-vault":
        from django_workos_vault.fields import EncryptedCharField
        from django_workos_vault.indexes import Exact

        return {
            "row_id": models.UUIDField(default=uuid.uuid4),
            "indexed": EncryptedCharField(max_length=50, blind_indexes=[Exact()]),
            "bound": EncryptedCharField(max_length=50, bind_to=("row_id",)),
        }
    if name == "django-searchable-encrypted-fields":
        fields = importlib.import_module("encrypted_fields.fields")
        return {"indexed": fields.SearchField(hash_key="cc" * 32, encrypted_field_name="a")}
    return {}


def version_of(packages: list[str]) -> str:
    """The version that was tried."""
    from importlib.metadata import version

    return version(packages[0]) if packages else "this checkout"


def answer(query: Callable[[], int]) -> str:
    """What a query answers whose right answer is 1."""
    try:
        found = query()
    except Exception as error:
        return f"error: `{type(error).__name__}`"
    return "yes" if found else "**no rows, no error**"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(*sys.argv[1:])))
    else:
        main()
