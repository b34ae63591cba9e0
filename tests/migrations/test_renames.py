"""Renaming a field or a model keeps its cells readable, and a check notices when it would not."""

import pytest
from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault.checks.renames import check_renames
from django_workos_vault.exceptions import WrongBinding
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import BlindIndex, Exact
from django_workos_vault.maintenance.renames import ColumnLabels, LabelHistory


def test_migrations_tell_every_label() -> None:
    """Renamed fields and models, explicit labels and columns encrypted later are followed."""
    columns = LabelHistory("renamed").columns
    assert {key: set(column.labels) for key, column in columns.items()} == {
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


@pytest.mark.parametrize(
    ("label", "previous_labels", "constrained", "expected"),
    [
        (None, (), True, ["E009"]),
        (None, ("renamed.Client.ssn", "renamed.Client.national_id"), True, ["E035"]),
        ("renamed.Client.ssn", (), True, []),
        ("renamed.Client.ssn", (), False, []),
        ("somewhere.else", (), True, ["E009"]),
    ],
)
def test_hints_for_unique_columns_end(
    label: str | None, previous_labels: tuple[str, ...], constrained: bool, expected: list[str]
) -> None:
    """A unique column keeps its oldest label, and no check asks for the opposite."""
    with isolate_apps("tests.renamed") as isolated:

        class Customer(models.Model):
            national_id = EncryptedCharField(
                max_length=11, label=label, previous_labels=previous_labels, blind_indexes=[Exact()]
            )
            still_pinned = EncryptedCharField(max_length=11, label="pinned for good")

            class Meta:
                app_label = "renamed"
                constraints = [models.UniqueConstraint(BlindIndex("national_id"), name="u")][:constrained]

        found = check_renames([isolated.get_app_config("renamed")])
    assert [str(message.id)[-4:] for message in found] == expected
    for message in found:
        assert "label='renamed.Client.ssn', no previous_labels" in str(message.hint)


def test_a_label_that_was_in_use_is_not_forgotten() -> None:
    """Pinning the old name strands what was sealed for the new one, if both were open for a while."""
    labels = ColumnLabels({"a": set(), "b": {"a"}})
    assert labels.stranded("a", (), is_pinned=True) == ["b"]
    assert ColumnLabels({"a": set(), "b": set()}).stranded("a", (), is_pinned=True) == []
    assert ColumnLabels({"a": set(), "b": set()}).stranded("b", (), is_pinned=False) == ["a"]


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
