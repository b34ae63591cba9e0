"""What is assumed of Django's frames and code objects: who only moves values, and who asks."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core import serializers
from django.db import models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState

from django_workos_vault.fields import EncryptedCharField, refused_queries
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.django_internals import frames
from tests.app.models import Manager, Organization, Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make Person.notes answer a question about the stack each time Django asks it for a value to write."""
    field: Any = Person._meta.get_field("notes")
    answers: list[Any] = []

    def ask(question: Any) -> list[Any]:
        pre_save = field.pre_save

        def asking(instance: Any, add: bool) -> Any:
            answers.append(question())
            return pre_save(instance, add)

        monkeypatch.setattr(field, "pre_save", asking, raising=False)
        return answers

    return ask


def untouched(row: Person) -> bool:
    held: Any = row.__dict__["notes"]
    return type(held) is Sealed and held._opened.__class__ is object  # nobody opened it


class TestCodeThatOnlyMovesValues:
    """Each of these reads or sets attributes of instances, and must get the cell instead of the value."""

    @pytest.fixture
    def row(self) -> Person:
        return Person.objects.get(pk=Person.objects.create(notes="a note").pk)

    def test_saving(self, row: Person) -> None:
        """Field.pre_save() and Model._save_table()."""
        row.save()
        assert untouched(row)

    def test_saving_raw(self, row: Person) -> None:
        """Model._save_table() in a raw save."""
        row.save_base(raw=True)
        assert untouched(row)

    def test_refreshing(self, row: Person) -> None:
        """Model.refresh_from_db() copies from another instance with getattr() and setattr()."""
        row.refresh_from_db()
        assert untouched(row)

    def test_cleaning(self, row: Person) -> None:
        """Model.clean_fields() gives the cell back, and the check constraints read a map of all fields."""
        row.clean_fields(exclude={"notes"})
        row.validate_constraints()
        assert untouched(row)

    def test_inserting_many(self, row: Person) -> None:
        """SQLInsertCompiler.pre_save_val()."""
        copy = Person(notes=row.__dict__["notes"])
        Person.objects.bulk_create([copy])
        assert untouched(copy)

    def test_updating_many(self, row: Person) -> None:
        """QuerySet.bulk_update() reads attributes of all rows."""
        Person.objects.bulk_update([row], ["notes"])
        assert untouched(row)

    def test_dumping_xml(self, row: Person) -> None:
        """XMLSerializer.handle_field() asks every value whether it is None."""
        serializers.serialize("xml", [row])
        assert untouched(row)

    def test_a_parent(self) -> None:
        """ForwardOneToOneDescriptor.get_object() makes a parent's instance of a child's values."""
        child = Manager.objects.get(pk=Manager.objects.create(badge="12", bonus="100").pk)
        parent = child.employee_ptr
        cell = vars(parent)["badge"]
        assert type(cell) is Sealed
        assert cell._opened.__class__ is object


class TestWhoCalls:
    """What a field can learn only from the stack."""

    def test_rows_of_bulk_create(self, asked: Any) -> None:
        """bulk_create() keeps its rows in a local variable called objs."""
        answers = asked(frames.rows_of_bulk_create)
        rows = [Person(), Person()]
        Person.objects.bulk_create(rows)
        assert [id(row) for row in answers[0]] == [id(row) for row in rows]

    @pytest.mark.parametrize("file_format", ["json", "jsonl", "python", "xml", "yaml"])
    def test_serializers(self, file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each serializer is the first argument of a method up the stack of value_to_string()."""
        seen = []
        field: Any = Person._meta.get_field("notes")
        for method in ("value_to_string", "value_from_object"):
            original = getattr(field, method)
            monkeypatch.setattr(
                field,
                method,
                lambda obj, original=original: (
                    seen.append(frames.at_work(serializers.base.Serializer)),
                    original(obj),
                )[1],
                raising=False,
            )
        serializers.serialize(file_format, [Person.objects.create()])
        assert seen
        assert all(seen)

    @pytest.mark.parametrize("file_format", ["json", "jsonl", "python", "xml", "yaml"])
    def test_deserializers(self, file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each deserializer is the first argument of a method up the stack of to_python()."""
        dumped = serializers.serialize(file_format, [Person.objects.create()])
        seen = []
        field: Any = Person._meta.get_field("notes")
        original = field.to_python
        monkeypatch.setattr(
            field,
            "to_python",
            lambda value: (seen.append(frames.at_work(serializers.base.Deserializer)), original(value))[1],
            raising=False,
        )
        list(serializers.deserialize(file_format, dumped))
        assert seen
        assert all(seen)

    def test_nobody_at_work(self) -> None:
        """Outside of a serializer there is none."""
        assert frames.at_work(serializers.base.Serializer) is None

    def test_renames_are_compared(self) -> None:
        """Both comparisons of the autodetector call deconstruct() a few frames down; others do not."""
        found = []

        class Asking(EncryptedCharField):
            def deconstruct(self) -> Any:
                found.append(frames.looks_for_renames())
                return super().deconstruct()

        def state(model: str, field: str) -> ProjectState:
            project = ProjectState()
            fields = [("id", models.AutoField(primary_key=True)), (field, Asking(max_length=9))]
            project.add_model(ModelState("somewhere", model, fields))
            return project

        for old, new in (
            (state("Old", "ssn"), state("New", "ssn")),
            (state("Old", "ssn"), state("Old", "number")),
        ):
            found.clear()
            MigrationAutodetector(old, new).changes(graph=_Graph())  # type: ignore[arg-type]
            assert True in found
        found.clear()
        Asking(max_length=9).deconstruct()
        assert found == [False]

    def test_outer_compilers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A subquery's compiler runs inside of the outer one, whose frame has it under a known name."""
        seen: list[Any] = []

        def spy() -> Iterator[Any]:
            found = list(frames.outer_compilers())
            seen.append([compiler.query.model for compiler in found])
            return iter(found)

        monkeypatch.setattr(refused_queries, "outer_compilers", spy)
        list(Organization.objects.annotate(note=models.Subquery(Person.objects.values("notes")[:1])))
        list(Person.objects.values("pk", "notes").union(Person.objects.values("pk", "notes")))
        list(Person.objects.values("pk", "notes").distinct()[:1].aggregate(n=models.Count("pk")))
        assert [Organization] in seen
        assert [Person] in seen


class _Graph:
    def leaf_nodes(self, app: str | None = None) -> list[Any]:
        return []
