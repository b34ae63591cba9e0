"""Beside packages that read every field: what leaks is told, and the recipes hold what they promise."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import reversion
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage
from django.db import connection, models, transaction
from django.test import Client
from django.test.utils import isolate_apps
from import_export import resources
from import_export.admin import ImportExportModelAdmin
from model_utils import FieldTracker
from reversion.models import Version
from simple_history.models import HistoricalRecords

from django_workos_vault import vaults
from django_workos_vault.admin import MaskedAdminMixin
from django_workos_vault.checks.companions import check_companions
from django_workos_vault.exceptions import EnvelopeError
from django_workos_vault.fields import EncryptedCharField, VaultObjectField, stored_cell
from tests.companions.models import Letter, Memo
from tests.tables import tables

pytestmark = pytest.mark.django_db
SECRET = "123-45-6789"
ENCRYPTED = ["ssn", "number", "written"]
AUDITED: list[dict[str, Any]] = [
    {},
    {"exclude_fields": ["title"]},
    {"include_fields": ["title", "ssn"]},
    {"mask_fields": ["ssn"]},
]


def told(number: str) -> list[CheckMessage]:
    return [message for message in check_companions(None) if message.id == f"django_workos_vault.{number}"]


def spoil(row: models.Model) -> None:
    """Change the last byte of the row's cell."""
    cell = stored_cell(row, "ssn")
    with connection.cursor() as cursor:
        table = row._meta.db_table
        cursor.execute(
            f"UPDATE {table} SET ssn = %s WHERE id = %s", [cell[:-1] + bytes([cell[-1] ^ 1]), row.pk]
        )


def raw_cell(row: models.Model) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT ssn FROM {row._meta.db_table} WHERE id = %s", [row.pk])
        return bytes(cursor.fetchone()[0])


def saves_unopened(model: type[models.Model]) -> None:
    """A loaded row is saved without opening a cell, and so is one whose cell cannot be opened."""
    manager: Any = model._default_manager
    row = manager.create(title="one", ssn=SECRET)
    for _ in range(2):
        cell = raw_cell(row)
        with vaults["default"].decryption_forbidden():
            again = manager.get(pk=row.pk)
            again.title = "two"  # type: ignore[attr-defined]
            again.save()
        assert raw_cell(row) == cell
        spoil(again)
    with vaults["default"].decryption_forbidden():
        manager.get(pk=row.pk).delete()


@contextmanager
def audited(**options: Any) -> Iterator[None]:
    auditlog.register(Memo, **options)
    try:
        yield
    finally:
        auditlog.unregister(Memo)


@contextmanager
def administered(model: type[models.Model], admin_class: type) -> Iterator[Any]:
    former = admin.site._registry.pop(model, None)
    admin.site.register(model, admin_class)
    try:
        yield admin.site._registry[model]
    finally:
        admin.site.unregister(model)
        if former is not None:
            admin.site._registry[model] = former


def test_nothing_is_told_where_nothing_leaks() -> None:
    """The test project's own companions follow the recipes."""
    assert check_companions(None) == []


class TestAuditlog:
    @pytest.mark.parametrize("options", AUDITED)
    def test_check_tells_what_leaks(self, options: dict[str, Any]) -> None:
        """What the check names is in the table, and what it does not name is not."""
        with audited(**options):
            Memo.objects.create(title="one", ssn=SECRET, number=1700000017)
            found = told("W110")
        written = str([entry.changes for entry in LogEntry.objects.all()])
        named = " ".join(message.msg for message in found)
        assert found
        assert ("ssn" in named) == (SECRET in written or "5-6789" in written)
        assert ("number" in named) == ("1700000017" in written)

    @pytest.mark.parametrize("options", [{"exclude_fields": ENCRYPTED}, {"include_fields": ["title"]}])
    def test_excluded(self, options: dict[str, Any]) -> None:
        """The recipe: nothing is written, nothing opened, nothing keeps a row from being saved."""
        with audited(**options):
            assert told("W110") == []
            saves_unopened(Memo)
        entries = LogEntry.objects.all()
        assert len(entries) == 3
        assert "6789" not in str([(entry.changes, entry.object_repr) for entry in entries])

    def test_mask_of_ones_own(self, settings: Any) -> None:
        """A mask that shows nothing is no leak, but cells are opened for it: the page says so."""
        with audited(mask_fields=ENCRYPTED, mask_callable=f"{__name__}.hidden"):
            assert told("W110") == []
            row = Memo.objects.create(title="one", ssn=SECRET)
            assert "6789" not in str([entry.changes for entry in LogEntry.objects.all()])
            spoil(row)
            with pytest.raises(EnvelopeError):
                Memo.objects.get().save()

    def test_serialized_data_is_ciphertext(self) -> None:
        """What it writes besides with serialize_data comes from a serializer."""
        with audited(exclude_fields=ENCRYPTED, serialize_data=True):
            Memo.objects.create(title="one", ssn=SECRET)
        assert "6789" not in str(LogEntry.objects.get().serialized_data)


def hidden(value: str) -> str:
    return "hidden"


class TestSimpleHistory:
    def test_its_table_is_encrypted(self) -> None:
        """A history's columns hold cells, for a label of its own."""
        letter = Letter.objects.create(title="one", ssn=SECRET)
        entry = letter.history.get()
        assert entry.ssn == SECRET
        assert SECRET.encode() not in stored_cell(entry, "ssn")
        assert type(entry)._meta.get_field("ssn").label == "companions.HistoricalLetter.ssn"
        assert stored_cell(entry, "ssn") != stored_cell(letter, "ssn")

    def test_what_does_not_hold(self) -> None:
        """Without a label given, each save seals anew for the history: a damaged cell keeps a row from it."""
        spoil(Letter.objects.create(title="one", ssn=SECRET))
        with pytest.raises(EnvelopeError), transaction.atomic():
            Letter.objects.get().save()
        letter = Letter.objects.get()
        letter.title = "two"
        letter.save_without_historical_record()  # type: ignore[attr-defined]

    @pytest.mark.django_db(transaction=True)
    @isolate_apps("tests.companions", "django.contrib.auth", "django.contrib.contenttypes")
    def test_label(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The recipe: with a label given, the history gets the row's very cells, unopened."""

        class Labelled(models.Model):
            title = models.CharField(max_length=9)
            ssn = EncryptedCharField(max_length=11, label="companions.Labelled.ssn")
            history = HistoricalRecords(user_model=get_user_model())

            class Meta:
                app_label = "companions"

        with tables(Labelled, Labelled.history.model):
            row = Labelled.objects.create(title="one", ssn=SECRET)
            (entry,) = Labelled.history.all()
            assert entry.ssn == SECRET
            assert stored_cell(entry, "ssn") == raw_cell(row)
            row.ssn = "987-65-4321"
            row.save()
            assert [entry.ssn for entry in Labelled.history.all()] == ["987-65-4321", SECRET]
            saves_unopened(Labelled)
            assert len(Labelled.history.all()) == 6

    @pytest.mark.django_db(transaction=True)
    @isolate_apps("tests.companions", "django.contrib.auth", "django.contrib.contenttypes")
    def test_excluded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The recipe: excluded fields are neither opened nor kept."""

        class Ledger(models.Model):
            title = models.CharField(max_length=9)
            ssn = EncryptedCharField(max_length=11)
            history = HistoricalRecords(excluded_fields=["ssn"], user_model=get_user_model())

            class Meta:
                app_label = "companions"

        with tables(Ledger, Ledger.history.model):
            saves_unopened(Ledger)
            assert len(Ledger.history.all()) == 4

    @isolate_apps("tests.companions", "django.contrib.auth", "django.contrib.contenttypes")
    def test_check_of_objects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A value in Vault has a history there: a copy for each entry is told."""

        class Kept(models.Model):
            token = VaultObjectField()
            history = HistoricalRecords(user_model=get_user_model())

            class Meta:
                app_label = "companions"

        (found,) = of_models(monkeypatch, Kept)
        assert (found.id, found.obj) == ("django_workos_vault.W111", Kept)


class TestReversion:
    def test_versions_are_ciphertext(self) -> None:
        """Versions hold cells, nothing is opened for them, and they bring the values back."""
        row = Memo.objects.create(title="one", ssn=SECRET)
        with vaults["default"].decryption_forbidden(), reversion.create_revision():
            row = Memo.objects.get()
            row.title = "two"
            row.save()
        version = Version.objects.get_for_object(row).get()
        assert SECRET not in version.serialized_data
        row.ssn = "987-65-4321"
        row.save()
        version.revert()
        assert Memo.objects.get().ssn == SECRET

    def test_a_cell_that_cannot_be_opened(self) -> None:
        """A version keeps it as it is, and reverting puts it back."""
        row = Memo.objects.create(title="one", ssn=SECRET)
        spoil(row)
        cell = raw_cell(row)
        with reversion.create_revision():
            Memo.objects.get().save()
        Memo.objects.update(ssn="other")
        Version.objects.get_for_object(row).get().revert()
        assert raw_cell(row) == cell

    def test_check_of_plaintext_dumps(self, settings: Any) -> None:
        """With the setting for plaintext dumps left on, versions would hold plaintext."""
        settings.WORKOS_VAULT_DUMP_PLAINTEXT = True
        assert [message.obj for message in told("W114")] == [Memo]


class MemoResource(resources.ModelResource):
    class Meta:
        model = Memo


class SafeResource(resources.ModelResource):
    class Meta:
        model = Memo
        exclude = ENCRYPTED


class MaskedResource(resources.ModelResource):
    def dehydrate_ssn(self, row: Memo) -> str:
        return "masked"

    class Meta:
        model = Memo
        fields = ("title", "ssn")


class TestImportExport:
    @pytest.mark.parametrize(
        ("resource", "leaks"),
        [(None, True), (MemoResource, True), (SafeResource, False), (MaskedResource, False)],
    )
    @pytest.mark.parametrize("masked", [False, True])
    def test_check(self, resource: Any, leaks: bool, masked: bool, admin_client: Client) -> None:
        """What the check names is what the admin's export has."""
        Memo.objects.create(title="one", ssn=SECRET)

        bases = (MaskedAdminMixin, ImportExportModelAdmin) if masked else (ImportExportModelAdmin,)
        leaks = leaks and not masked
        ported = type("Ported", bases, {"resource_classes": [resource] if resource else []})
        with administered(Memo, ported) as model_admin:
            found = told("W112")
            exported = model_admin.get_export_resource_classes(None)[0]().export().csv
        assert [message.obj for message in found] == ([ported] if leaks else [])
        assert (SECRET in exported) == leaks
        assert not leaks or all(name in found[0].msg for name in ENCRYPTED)

    def test_an_admin_whose_resources_need_the_request(self) -> None:
        """Nothing can be told of it, and the check goes on."""

        class Ported(ImportExportModelAdmin):
            def get_resource_classes(self, request: Any) -> Any:
                return [MemoResource] if request.user else []

        with administered(Memo, Ported):
            assert told("W112") == []

    def test_excluded(self) -> None:
        """The recipe: exports and imports of the other fields open nothing and keep what is stored."""
        row = Memo.objects.create(title="one", ssn=SECRET)
        for _ in range(2):
            cell = raw_cell(row)
            with vaults["default"].decryption_forbidden():
                data = SafeResource().export()
                assert SECRET not in data.csv
                data = data.load(data.csv.replace("one", "two"), format="csv")
                result = SafeResource().import_data(data)
            assert not result.has_errors()
            assert "6789" not in str(result.rows[0].diff)
            assert Memo.objects.get().title == "two"
            assert raw_cell(row) == cell
            spoil(row)

    def test_imported_values_are_sealed(self) -> None:
        """A file that brings values is sealed like any assignment."""
        data = MemoResource().export()
        data = data.load(f"title,ssn\nx,{SECRET}\n", format="csv")
        assert not MemoResource().import_data(data).has_errors()
        row = Memo.objects.get()
        assert row.ssn == SECRET
        assert SECRET.encode() not in raw_cell(row)


@pytest.mark.django_db(transaction=True)
class TestFieldTracker:
    @isolate_apps("tests.companions")
    def test_watching_other_fields(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The recipe: fields that are not watched stay closed, in pickles too."""

        class Card(models.Model):
            title = models.CharField(max_length=9)
            ssn = EncryptedCharField(max_length=11)
            tracker = FieldTracker(fields=["title"])

            class Meta:
                app_label = "companions"

        assert of_models(monkeypatch, Card) == []
        with tables(Card):
            saves_unopened(Card)
            row = Card.objects.create(title="one", ssn=SECRET)
            row.title = "two"
            assert row.tracker.changed() == {"title": "one"}

    @pytest.mark.parametrize("fields", [None, ["title", "ssn"]])
    @isolate_apps("tests.companions")
    def test_check(self, monkeypatch: pytest.MonkeyPatch, fields: Any) -> None:
        """Where it watches an encrypted field, loading opens it, which the check tells."""

        class Watched(models.Model):
            title = models.CharField(max_length=9)
            ssn = EncryptedCharField(max_length=11)
            tracker = FieldTracker(fields=fields)

            class Meta:
                app_label = "companions"

        (found,) = of_models(monkeypatch, Watched)
        assert found.id == "django_workos_vault.W113"
        assert "ssn" in found.msg
        with tables(Watched):
            Watched.objects.create(title="one", ssn=SECRET)
            row = Watched.objects.get()
            assert SECRET in str(row.tracker.saved_data)
            assert SECRET.encode() in pickle.dumps(row.tracker.saved_data)


def of_models(monkeypatch: pytest.MonkeyPatch, *declared: type[models.Model]) -> list[CheckMessage]:
    """Run the check over models that the registry of installed apps does not know."""
    config = apps.get_app_config("companions")
    listed: Callable[..., Any] = lambda: declared  # noqa: E731
    monkeypatch.setattr(config, "get_models", listed)
    return check_companions([config])
