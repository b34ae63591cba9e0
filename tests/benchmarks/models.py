"""The same row for each contender: three encrypted text columns and two plain ones."""

import hmac
from hashlib import sha256
from importlib import import_module
from os import urandom
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import models

from django_workos_vault.fields import (
    EncryptedBinaryField,
    EncryptedCharField,
    EncryptedTextField,
    FromRow,
    VaultObjectField,
)
from django_workos_vault.indexes import BlindIndex, Exact

_FLOOR = AESGCM(bytes(range(32)))
_FLOOR_HMAC = bytes(range(32))


class IdentityField(models.TextField):  # type: ignore[type-arg]
    """The least that any converter written in Python costs."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value


class FloorField(models.BinaryField):  # type: ignore[type-arg]
    """AES-256-GCM with one key in memory: no key management, no errors, no laziness."""

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        nonce = urandom(12)
        return super().get_db_prep_value(nonce + _FLOOR.encrypt(nonce, value.encode(), None), connection)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        cell = bytes(value)
        return _FLOOR.decrypt(cell[:12], cell[12:], None).decode()


def floor_digest(value: str) -> bytes:
    """What a hand-written searchable column stores beside the encrypted one."""
    return hmac.digest(_FLOOR_HMAC, value.encode(), sha256)


class Row(models.Model):
    """The plain columns."""

    number = models.IntegerField()
    place = models.CharField(max_length=50)

    class Meta:
        abstract = True


def contender(name: str, field: Any, **options: Any) -> type[Row]:
    """Return a model whose three text columns are made by ``field``."""
    columns = {column: field() for column in ("name", "ssn", "notes")}
    meta = type("Meta", (), {"app_label": "benchmarks", "db_table": f"bench_{name}", **options})
    return type(name, (Row,), {"__module__": __name__, "Meta": meta, **columns})  # type: ignore[return-value]


def _published() -> dict[str, type[Row]]:
    """Return the models of those published libraries that are installed and can be imported."""
    makers = {
        "django-fernet-encrypted-fields": ("encrypted_fields.fields", lambda m: m.EncryptedTextField()),
        "django-encrypted-model-fields": ("encrypted_model_fields.fields", lambda m: m.EncryptedTextField()),
        "django-cryptography-5": ("django_cryptography.fields", lambda m: m.encrypt(models.TextField())),
    }
    found = {}
    for library, (module_name, make) in makers.items():
        try:
            module = import_module(module_name)
            found[library] = contender(library.replace("-", "_"), lambda make=make, m=module: make(m))
        except Exception as exc:  # whatever another library does with this Django
            print(f"left out: {library} ({type(exc).__name__}: {exc})")
    return found


CONTENDERS: dict[str, type[Row]] = {
    "plain": contender("plain", models.TextField),
    "identity": contender("identity", IdentityField),
    "floor": contender("floor", FloorField),
    "ours": contender("ours", EncryptedTextField),
    **_published(),
}


#: as many key contexts as places
Tenanted = contender(
    "tenanted", lambda: EncryptedTextField(key_context={"organization_id": FromRow("place")})
)


class FloorSearched(models.Model):
    """The floor's way to search: an HMAC column beside the encrypted one."""

    email = FloorField()
    digest = models.BinaryField(max_length=32, db_index=True)

    class Meta:
        app_label = "benchmarks"


class OursSearched(models.Model):
    """A blind index in front of the cell."""

    email = EncryptedCharField(max_length=100, blind_indexes=[Exact()])

    class Meta:
        app_label = "benchmarks"
        indexes = [models.Index(BlindIndex("email"), name="bench_email")]


SEARCHED = {"floor": FloorSearched, "ours": OursSearched}


class Sized(models.Model):
    """One value of any size, in each kind of field that takes one."""

    text = models.TextField(null=True)
    binary = models.BinaryField(null=True)
    sealed_text = EncryptedTextField(null=True)
    sealed_binary = EncryptedBinaryField(null=True)
    in_vault = VaultObjectField(null=True)
