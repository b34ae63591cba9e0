"""Every check's hint, followed to the letter, leads to a model that passes all checks."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps

from django_workos_vault import fields as vault_fields
from django_workos_vault import indexes as vault_indexes
from django_workos_vault.checks.admin import check_options
from django_workos_vault.checks.declarations import check_model
from django_workos_vault.fields import EncryptedCharField, VaultObjectField
from tests.checks.hints import CASES, MASKED, Case, Make

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "checks.md").read_text()
DOCUMENTED = re.findall(r"^### django_workos_vault\.([EW]\d{3})$", PAGE, re.MULTILINE)

#: Faults of whole projects, of settings and beside other packages: tests that do what the hint says.
ELSEWHERE = {
    "E009": "migrations/test_renames.py::test_hints_for_unique_columns_end",
    "E035": "migrations/test_renames.py::test_hints_for_unique_columns_end",
    "E070": "migrations/test_rename_projects.py::test_a_rename_written_as_removal_is_refused",
    "E010": "maintenance/test_vault_check.py::test_keys_in_the_wrong_place",
    "W190": "checks/test_settings.py::test_a_client_id_that_is_none",
    "E190": "checks/test_settings.py::test_a_missing_key_is_an_error_where_it_is_needed",
    "E011": "maintenance/test_vault_check.py::test_keys_in_the_wrong_place",
    "W001": "maintenance/test_vault_check.py::test_keys_in_the_wrong_place",
    "W002": "maintenance/test_vault_check.py::test_keys_in_the_wrong_place",
    "E130": "files/test_declarations.py::test_checks_and_their_hints",
    "W130": "files/test_declarations.py::test_checks_and_their_hints",
    "W031": "checks/test_indexes.py::test_databases_without_expression_indexes_are_named",
    "E061": "search/test_box.py::test_a_check_says_where_the_admin_would_fail",
    "W065": "companions/test_orderings.py::test_its_hint_is_what_helps",
    "W066": "companions/test_orderings.py::test_tables_and_filter_sets_are_found",
    "W067": "companions/test_orderings.py::test_tables_and_filter_sets_are_found",
    "W100": "admin/test_lookups.py::test_a_plain_admin_whose_key_is_a_relation_is_warned_of",
    "W105": "security/test_tracebacks.py::test_the_check_recommends_the_filter",
    "W110": "companions/test_histories.py::test_excluded",
    "W111": "companions/test_histories.py::test_check_of_objects",
    "W112": "companions/test_histories.py::test_excluded",
    "W113": "companions/test_histories.py::test_check",
    "W120": "fields/test_kinds_of_models.py::test_natural_keys_in_clear_are_warned_of",
    "W121": "fields/test_kinds_of_models.py::test_deletions_that_move_rows_are_warned_of",
    "W160": "fields/test_kinds_of_models.py::test_updates_that_move_rows_are_warned_of",
    "E170": "access/test_settings.py::test_every_wrong_option_is_named",
    "W170": "access/test_settings.py::test_a_vault_without_key_context_chains_nothing",
    "W114": "companions/test_histories.py::test_check_of_plaintext_dumps",
}


def declared(name: str, made: dict[str, Make], meta: dict[str, Any]) -> Any:
    attributes: dict[str, Any] = {"n": models.IntegerField(default=0)}
    attributes |= {field: make() for field, make in made.items()}
    attributes |= {"__module__": __name__, "__str__": lambda self: "row"}
    attributes["Meta"] = type("Meta", (), {"app_label": "app", **meta})
    return type(name, (models.Model,), attributes)


def messages(model: Any, admin_class: Any = None) -> list[Any]:
    found = [*model.check(), *check_model(model)]
    if admin_class is not None:
        found += check_options(admin_class(model, admin.AdminSite()))
    return [message for message in found if message.id != "fields.E300"]  # ContentType is not isolated


def code_in(hint: str) -> dict[str, Any]:
    """Return the Meta options that the code in ``hint`` declares."""
    namespace = {**vars(vault_fields), **vars(vault_indexes), "models": models}
    listed = re.search(r"(indexes|constraints) = (\[.*\])", hint)
    if listed:
        return {listed[1]: eval(listed[2], namespace)}
    single = re.search(r"Add (models\.Index\(.*\)) to Meta\.indexes", hint)
    assert single, hint
    return {"indexes": [eval(single[1], namespace)]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
@isolate_apps("tests.app", "django.contrib.contenttypes")
def test_the_hint_is_what_helps(case: Case) -> None:
    """The fault is found, its hint says what to do, and afterwards there is nothing to find."""
    broken_admin = type("RowAdmin", case.bases, case.admin) if case.admin else None
    found = messages(declared("Row", case.broken, {n: make() for n, make in case.meta.items()}), broken_admin)
    [fault, *_] = [message for message in found if message.id == f"django_workos_vault.{case.number}"]
    for words in case.says:
        assert words in fault.hint
    meta = {name: make() for name, make in case.repaired_meta.items()}
    if case.takes_code:
        for option, items in code_in(fault.hint).items():
            meta[option] = [*meta.get(option, []), *items]
    repaired_admin = type("RowAdmin", MASKED, case.repaired_admin) if case.admin else None
    assert messages(declared("Repaired", case.repaired, meta), repaired_admin) == []


@isolate_apps("tests.app")
def test_context_of_a_vault_with_objects(settings: Any) -> None:
    """E110: a vault that keeps objects needs a context for the proofs of its own."""
    given = settings.WORKOS_VAULTS["default"]
    bare = {name: value for name, value in given.items() if name != "KEY_CONTEXT"}
    made = {"code": lambda: VaultObjectField(key_context={"a": "b"})}
    with override_settings(WORKOS_VAULTS={"default": bare}):
        [fault] = messages(declared("Row", made, {}))
    assert fault.id == "django_workos_vault.E110"
    assert "Give the vault a KEY_CONTEXT" in fault.hint
    assert messages(declared("Repaired", made, {})) == []


def test_every_check_is_here() -> None:
    """A new check needs a pair: what it finds, and that after its hint it finds nothing."""
    assert {case.number for case in CASES} | {"E110"} | ELSEWHERE.keys() == set(DOCUMENTED)


@pytest.mark.parametrize("number", ELSEWHERE)
def test_what_is_tested_elsewhere(number: str) -> None:
    """The test that is named exists."""
    file, _, name = ELSEWHERE[number].partition("::")
    assert f"def {name}(" in (CHECKOUT / "tests" / file).read_text()


@pytest.mark.parametrize("option", ["unique", "db_index"])
@isolate_apps("tests.app")
def test_two_faults_at_once(option: str) -> None:
    """A check does not fall over what another one finds."""
    made = {"code": lambda: EncryptedCharField(max_length=9, blind_indexes=["exact"], **{option: True})}  # type: ignore[list-item]
    numbers = {str(message.id)[-4:] for message in messages(declared("Row", made, {}))}
    assert numbers >= {"E030", "E002" if option == "unique" else "E003"}
