"""Whatever Vault or the database says of an object is an error of ours, and stays with its own row."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.forms import modelform_factory
from django.test import override_settings
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.exceptions import (
    EnvelopeError,
    UntrustedReference,
    VaultContextMismatch,
    VaultError,
    VaultUnavailable,
)
from django_workos_vault.fields import VaultObjectField
from django_workos_vault.models import IndexKeyRecord
from tests.app.models import Credential
from tests.objects.rows import column, loaded, names
from tests.objects.test_references import put
from tests.scripted import Reply, scripted_server
from tests.security.test_attacks import our_locals
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)
CHANGES = [{"proof": "00" * 32}, {"proof": "zz"}, {"proof": ""}, {"wrapped": b"junk"}]
ID, VERSION = "0b0e1c5e-7d5f-4f0e-9a53-0f6f6f0f0f0f", "2c3d4e5f-7d5f-4f0e-9a53-0f6f6f0f0f0f"


@pytest.mark.parametrize(
    "stored", ["s3cr3t", "", '{"s3cr3t": NaN}', "[Infinity, 53]", "[" * 100_000 + "]" * 100_000, "9" * 5000]
)
def test_json_that_something_else_wrote(vault: Any, stored: str) -> None:
    """A value that is not the JSON it should be is an error that quotes none of it; the row can be saved."""
    row = Credential.objects.create(token={"a": 1})
    vault.update_object(column(row).split(":")[0], stored)
    row = loaded(row)
    with pytest.raises(VaultError, match="no JSON") as caught:
        _ = row.token
    assert "s3cr3t" not in str(caught.value) + our_locals(caught.value)
    assert caught.value.__context__ is None
    row.name = "renamed"
    row.save()
    assert "s3cr3t" not in str(modelform_factory(Credential, fields=["token"])(instance=loaded(row)))


def test_json_that_nests_too_deeply(vault: Any) -> None:
    """What cannot be written as JSON is a validation error, whatever Python says of it."""
    value: Any = []
    for _ in range(100_000):
        value = [value]
    circular: list[Any] = []
    circular.append(circular)
    for each in (value, circular):
        with pytest.raises(ValidationError):
            Credential(token=each).save()
    assert names() == []
    while value:  # in steps: freeing it at once would recurse as well
        value = value.pop()


@pytest.mark.parametrize("change", CHANGES)
def test_key_of_the_proofs_was_changed(vault: Any, change: dict[str, Any]) -> None:
    """Rows load, list, save and go; reading a value, and storing one, say that the record is wrong."""
    row = Credential.objects.create(token="s3cr3t")
    IndexKeyRecord.objects.update(**change)
    vaults["default"].index_keys.forget()
    row = loaded(row)
    row.name = "renamed"
    row.save()
    for failing in (
        lambda: row.token,
        lambda: Credential.objects.create(token="x"),
        lambda: row.history("token"),
    ):
        with pytest.raises((EnvelopeError, VaultError)):
            failing()
    row.delete()
    assert not Credential.objects.exists()
    assert len(names()) == 1


def test_a_form_of_a_row_whose_reference_is_not_its_own(vault: Any) -> None:
    """It offers to keep what is stored, and takes another value."""
    row = Credential.objects.create(token=None)
    put(row, f"{ID}:{VERSION}")
    form_class = modelform_factory(Credential, fields=["name", "token"])
    assert "cannot be opened" in form_class(instance=loaded(row)).as_p()
    form = form_class({"name": "x", "token": ""}, instance=loaded(row))
    form.save()
    assert column(row) == f"{ID}:{VERSION}"
    form_class({"name": "x", "token": "new"}, instance=loaded(row)).save()
    assert loaded(row).token == "new"


@isolate_apps("tests.app")
def test_after_a_rename(vault: Any) -> None:
    """References of a previous label are proven, and read, updated and deleted; without it they are not."""

    class Before(models.Model):
        token = VaultObjectField()

        class Meta:
            app_label = "app"
            db_table = "app_renamed_objects"

    class After(models.Model):
        token = VaultObjectField(previous_labels=("app.Before.token",))

        class Meta:
            app_label = "app"
            db_table = "app_renamed_objects"

    class Forgotten(models.Model):
        token = VaultObjectField()

        class Meta:
            app_label = "app"
            db_table = "app_renamed_objects"

    with tables(Before):
        Before.objects.create(token="one")
        with pytest.raises(UntrustedReference):
            _ = Forgotten.objects.get().token
        row = After.objects.get()
        assert row.token == "one"
        row.token = "two"
        row.save()
        assert len(names()) == 1
        assert After.objects.get().token == "two"
        After.objects.get().delete()
        assert names() == []


class TestAnswers:
    """What a Vault may answer that is not Vault's."""

    CONTEXT = {"app": "tests"}

    def metadata(self, **changed: Any) -> dict[str, Any]:
        return {
            "id": ID,
            "environment_id": "env",
            "key_id": "key",
            "context": self.CONTEXT,
            "updated_at": "2026-01-01T00:00:00Z",
            "updated_by": {"id": "actor", "name": "actor"},
            "version_id": VERSION,
            **changed,
        }

    def saved(self, *replies: Reply) -> tuple[type[Exception] | None, int]:
        """Save a row beside a Vault that answers with ``replies`` once it has made the key of the proofs."""
        with scripted_server() as server:
            options = {"api_key": "sk_test_x", "base_url": server.url, "deadline": 5.0}
            backend = "django_workos_vault.backends.workos.WorkOSVault"
            given = {"BACKEND": backend, "KEY_CONTEXT": self.CONTEXT, "OPTIONS": options}
            with override_settings(WORKOS_VAULTS={"default": given}):
                key = {
                    "id": "k",
                    "data_key": "AQID" * 10 + "AQI=",
                    "encrypted_keys": "AAAA",
                    "context": self.CONTEXT,
                }
                server.answer(Reply(key), *replies)
                failure = None
                try:
                    Credential.objects.create(token="s3cr3t")
                except (VaultError, EnvelopeError) as exc:
                    failure = exc
        assert failure is None or "s3cr3t" not in str(failure) + our_locals(failure)
        return failure and type(failure), Credential.objects.count()

    @pytest.mark.parametrize(
        "changed",
        [
            {"id": "a:b"},
            {"id": "../x"},
            {"id": "x" * 81},
            {"id": ""},
            {"id": "a\u0000b"},
            {"version_id": "a:b"},
            {"version_id": "x" * 81},
            {"version_id": "json:x"},
            {"context": {"app": "other"}},
        ],
    )
    def test_of_a_creation(self, changed: dict[str, Any]) -> None:
        """An id, version or context that is none leaves no row."""
        failure = VaultContextMismatch if "context" in changed else VaultUnavailable
        assert self.saved(Reply(self.metadata(**changed), 201)) == (failure, 0)

    @pytest.mark.parametrize("current", [True, False])
    def test_without_a_version(self, current: bool) -> None:
        """Where Vault tells no version, the list of versions does; one without a current one is an error."""
        versions = {
            "data": [
                {
                    "id": VERSION,
                    "created_at": "2026-01-01T00:00:00Z",
                    "current_version": current,
                    "size": 1,
                    "etag": "x",
                }
            ],
            "list_metadata": {},
        }
        saved = self.saved(Reply(self.metadata(version_id=None), 201), Reply(versions))
        assert saved == ((None, 1) if current else (VaultUnavailable, 0))
