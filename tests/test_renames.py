"""Renaming a field or a model keeps its cells readable, and a check notices when it would not."""

import pytest
from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.checks import check_renames
from django_workos_vault.exceptions import WrongBinding
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.renames import labels_in_migrations


def test_migrations_tell_every_label() -> None:
    """Renamed fields and models, explicit labels and columns encrypted later are followed."""
    assert labels_in_migrations("renamed") == {
        ("customer", "national_id"): {
            "renamed.Client.ssn",
            "renamed.Client.national_id",
            "renamed.Customer.national_id",
        },
        ("customer", "mobile"): {"renamed.Customer.mobile"},
        ("customer", "still_pinned"): {"pinned for good"},
    }


@pytest.mark.parametrize(
    ("previous_labels", "ids"),
    [
        ((), ["django_workos_vault.E009"]),
        (("renamed.Client.ssn",), ["django_workos_vault.E009"]),
        (("renamed.Client.ssn", "renamed.Client.national_id"), []),
    ],
)
def test_rename_that_strands_cells_is_an_error(previous_labels: tuple[str, ...], ids: list[str]) -> None:
    """The check names the labels that ``previous_labels`` still lacks."""
    with isolate_apps("tests.renamed") as isolated:

        class Customer(models.Model):
            national_id = EncryptedCharField(max_length=11, previous_labels=previous_labels)
            still_pinned = EncryptedCharField(max_length=11, label="pinned for good")

            class Meta:
                app_label = "renamed"

        found = check_renames([isolated.get_app_config("renamed")])
    assert [message.id for message in found] == ids


def test_apps_without_renames_pass() -> None:
    """The test suite's own models are clean."""
    assert check_renames([apps.get_app_config("app")]) == []


@isolate_apps("tests.app")
@pytest.mark.django_db
def test_cells_of_a_former_label_open() -> None:
    """A field opens what it sealed under its previous label, and nothing that another field sealed."""

    class Before(models.Model):
        old = EncryptedCharField(max_length=11)
        other = EncryptedCharField(max_length=11)

        class Meta:
            app_label = "app"

    class After(models.Model):
        new = EncryptedCharField(max_length=11, previous_labels=("app.Before.old",))

        class Meta:
            app_label = "app"

    cell = Before._meta.get_field("old").seal_value("123")
    assert After._meta.get_field("new").open_cell(cell) == "123"
    foreign = Before._meta.get_field("other").seal_value("123")
    with pytest.raises(WrongBinding, match="another field"):
        After._meta.get_field("new").open_cell(foreign)
