"""Renames stay renames for makemigrations, whatever else about the cells changes with them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import models
from django.db.migrations import AddField, AlterField, CreateModel, Migration, RenameField, RenameModel
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.test.utils import isolate_apps

from django_workos_vault.fields import (
    EncryptedCharField,
    EncryptedIntegerField,
    FromRow,
    VaultObjectField,
    encrypted,
)
from django_workos_vault.files import EncryptedFileField, EncryptedImageField
from django_workos_vault.indexes import Exact

Make = Callable[..., Any]

PLAINTEXT = "sesame"

TYPES: dict[str, tuple[Make, Any]] = {
    "text": (lambda **options: EncryptedCharField(max_length=20, **options), PLAINTEXT),
    "number": (lambda **options: EncryptedIntegerField(**options), 4711),
    "adapted": (lambda **options: adapted(**options), PLAINTEXT),
}

#: What concerns cells alone.
OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "label": {"label": "app.Old.old"},
    "previous_labels": {"previous_labels": ("app.Old.old",)},
    "mask": {"mask": "last4"},
    "key_context": {"key_context": {"organization_id": FromRow("tenant")}},
    "vault": {"vault": "other"},
    "bind_to": {"bind_to": ("tenant",), "previous_bind_to": ((),)},
    "pad_to": {"pad_to": 16},
    "blind_indexes": {"blind_indexes": [Exact()]},
}

DEFAULTS = {"no default": False, "default": True}


def adapted(default: Any = models.NOT_PROVIDED, **options: Any) -> Any:
    return encrypted(models.CharField(max_length=20, default=default), **options)


def declare(model: str, field: str, made: Any) -> type[models.Model]:
    attributes = {
        "tenant": models.CharField(max_length=20),
        field: made,
        "Meta": type("Meta", (), {"app_label": "app"}),
        "__module__": __name__,
    }
    return type(model, (models.Model,), attributes)


def state_of(*declared: type[models.Model]) -> ProjectState:
    state = ProjectState()
    for model in declared:
        state.add_model(models_state(model))
    return state


def models_state(model: type[models.Model]) -> Any:
    return ProjectState.from_apps(model._meta.apps).models["app", model._meta.model_name]


def detect(before: ProjectState, after: ProjectState, answer: bool = True) -> list[Any]:
    """Return the operations that makemigrations would write, read back from the file."""
    answers = {"ask_rename": answer, "ask_rename_model": answer, "ask_initial": True}
    changes = MigrationAutodetector(before, after, MigrationQuestioner(answers)).changes(MigrationGraph())
    if not changes:
        return []
    [migration] = changes["app"]
    source = MigrationWriter(migration, include_header=False).as_string()
    assert PLAINTEXT not in source
    assert "4711" not in source
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return list(namespace["Migration"].operations)


def apply(operations: list[Any], state: ProjectState) -> ProjectState:
    migration = Migration("0001", "app")
    migration.operations = operations
    return migration.mutate_state(state)


def kinds(operations: list[Any]) -> list[type]:
    return [type(operation) for operation in operations]


@pytest.mark.parametrize("model_too", [False, True], ids=["field", "model"])
@pytest.mark.parametrize("default", DEFAULTS)
@pytest.mark.parametrize("after", OPTIONS)
@pytest.mark.parametrize("before", ["nothing", "label"])
@pytest.mark.parametrize("kind", TYPES)
def test_rename_and_options_together(
    kind: str, before: str, after: str, default: str, model_too: bool
) -> None:
    """A rename is a rename, and one more run records what changed beside it; then there is nothing left."""
    make, value = TYPES[kind]
    given = {"default": value} if DEFAULTS[default] else {}
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", make(**OPTIONS[before], **given)))
    old = apply(detect(ProjectState(), old), ProjectState())
    with isolate_apps("tests.app"):
        changed = make(**OPTIONS[after], **given)
        model = declare("New" if model_too else "Old", "old" if model_too else "new", changed)
        new = state_of(model)
    first = detect(old, new)
    assert kinds(first)[0] is (RenameModel if model_too else RenameField)
    assert set(kinds(first)[1:]) <= {AlterField}
    reached = apply(first, old.clone())
    second = detect(reached, new)
    assert set(kinds(second)) <= {AlterField}
    assert detect(apply(second, reached), new) == []
    if before == after:
        assert second == []


@pytest.mark.parametrize("default", DEFAULTS)
@pytest.mark.parametrize("after", OPTIONS)
@pytest.mark.parametrize("kind", TYPES)
def test_options_alone_are_recorded(kind: str, after: str, default: str) -> None:
    """Without a rename a changed option is altered, once; data migrations seal as the model did then."""
    make, value = TYPES[kind]
    given = {"default": value} if DEFAULTS[default] else {}
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", make(**given)))
    old = apply(detect(ProjectState(), old), ProjectState())
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "old", make(**OPTIONS[after], **given)))
    operations = detect(old, new)
    assert kinds(operations) == ([] if after == "nothing" else [AlterField])
    assert detect(apply(operations, old.clone()), new) == []


@pytest.mark.parametrize("gains", [True, False])
@pytest.mark.parametrize("kind", TYPES)
def test_default_comes_or_goes_with_a_rename(kind: str, gains: bool) -> None:
    """A field that gets a default, or loses it, and is renamed at once, is renamed."""
    make, value = TYPES[kind]
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", make(**({} if gains else {"default": value}))))
    old = apply(detect(ProjectState(), old), ProjectState())
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "new", make(**({"default": value} if gains else {}))))
    assert kinds(detect(old, new)) == [RenameField]


@pytest.mark.parametrize("options", [{}, {"label": "app.Old.old"}, {"mask": "last4"}])
def test_vault_objects_are_renamed(options: dict[str, Any]) -> None:
    """A VaultObjectField's options do not hide its rename either."""
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", VaultObjectField()))
    old = apply(detect(ProjectState(), old), ProjectState())
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "new", VaultObjectField(**options)))
    assert kinds(detect(old, new)) == [RenameField]


@pytest.mark.parametrize(
    "options",
    [{}, {"label": "app.Old.old"}, {"previous_labels": ("app.Old.old",)}, {"conceal_names": True}],
    ids=str,
)
@pytest.mark.parametrize("kind", [EncryptedFileField, EncryptedImageField])
def test_files_are_renamed(kind: Any, options: dict[str, Any]) -> None:
    """Nor do those of a file field: the names of the files would go with the column."""
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", kind()))
    old = apply(detect(ProjectState(), old), ProjectState())
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "new", kind(**options)))
    first = detect(old, new)
    assert kinds(first)[:1] == [RenameField]
    reached = apply(first, old.clone())
    assert detect(apply(detect(reached, new), reached), new) == []


def test_a_subclassed_autodetector_is_understood() -> None:
    """Packages that put a class of their own over Django's get the same answer."""

    class Other(MigrationAutodetector):
        def deep_deconstruct(self, obj: Any) -> Any:
            return super().deep_deconstruct(obj)

    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", EncryptedCharField(max_length=9)))
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "new", EncryptedCharField(max_length=9, label="app.Old.old")))
    [migration] = Other(old, new, MigrationQuestioner({"ask_rename": True, "ask_initial": True})).changes(
        MigrationGraph()
    )["app"]
    assert kinds(migration.operations) == [RenameField]


def test_unlike_fields_are_no_rename() -> None:
    """Fields of another type or length are removed and added, as Django has it."""
    with isolate_apps("tests.app"):
        old = state_of(declare("Old", "old", EncryptedCharField(max_length=9)))
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "new", EncryptedIntegerField(null=True)))
    assert RenameField not in kinds(detect(old, new))


@pytest.mark.parametrize("literal", [PLAINTEXT, 4711])
def test_a_one_off_default_is_not_written(literal: Any) -> None:
    """What somebody types at makemigrations' prompt would stand in the file in clear: it says so instead."""
    make = TYPES["text" if literal == PLAINTEXT else "number"][0]
    with isolate_apps("tests.app"):
        field = declare("Old", "old", make())._meta.get_field("old").clone()
    field.default = literal
    with pytest.raises(ValueError, match="Give the field") as caught:
        MigrationWriter.serialize(AddField("Old", "old", field, preserve_default=False).field)
    assert str(literal) not in str(caught.value)


def test_a_literal_in_a_migration_written_by_hand_works_and_causes_none() -> None:
    """Whoever wrote a default into a migration gets it, and no new migration."""
    by_hand = EncryptedCharField(max_length=20, default=PLAINTEXT)
    fields = [
        ("id", models.BigAutoField(primary_key=True, auto_created=True, serialize=False, verbose_name="ID")),
        ("tenant", models.CharField(max_length=20)),
        ("old", by_hand),
    ]
    state = apply([CreateModel("Old", fields)], ProjectState())
    assert state.apps.get_model("app", "Old")().old == PLAINTEXT
    with isolate_apps("tests.app"):
        new = state_of(declare("Old", "old", EncryptedCharField(max_length=20, default=PLAINTEXT)))
    assert [o for o in detect(state, new) if getattr(o, "name", "") == "old"] == []
