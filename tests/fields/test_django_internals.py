"""What is assumed of Django's private code: one test each, so that a new Django says which broke."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from django import forms
from django.core import serializers
from django.core.files.base import ContentFile
from django.db import connection, models, transaction
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.db.utils import NotSupportedError
from django.forms import BaseModelFormSet
from django.test.utils import isolate_apps

from django_workos_vault.fields import EncryptedCharField, refused_queries
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.django_internals import files, frames, queries, querysets
from django_workos_vault.fields.django_internals.forms import CleansBoundField, CleansInstance
from django_workos_vault.querysets import EncryptedQuerySet
from django_workos_vault.registry.transactions import Pending
from tests.app.models import Account, Manager, Organization, Person

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

    def test_query_of_an_insert(self, asked: Any) -> None:
        """The INSERT's query is that of the compiler whose pre_save_val() asks."""
        answers = asked(frames.query_of_insert)
        Person.objects.bulk_create([Person()])
        assert answers[-1].model is Person
        row = Person.objects.get()
        answers.clear()
        row.save()
        assert answers == [None]

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


class _Graph:
    def leaf_nodes(self, app: str | None = None) -> list[Any]:
        return []


class TestQueries:
    """What queries are made of."""

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

    def test_table_definitions(self) -> None:
        """A query that stands for an index or a constraint has no column aliases."""
        assert queries.is_schema(models.sql.Query(Person, alias_cols=False))
        assert not queries.is_schema(Person.objects.all().query)

    def test_selected(self) -> None:
        """Annotations and columns of values() are found in their order."""
        query = Person.objects.values("name", n=models.F("pk")).query
        assert [getattr(what, "alias", None) for what in queries.selected(query)]
        assert len(queries.selected(query)) == 2
        assert len(queries.selected(Person.objects.only("notes").query)) == 2  # with the primary key

    def test_branches(self) -> None:
        """A combined query keeps its parts, each of which selects the same."""
        combined = Person.objects.values("pk").union(Person.objects.values("pk")).query
        assert [len(queries.selected(branch)) for branch in queries.branches(combined)] == [1, 1]

    def test_filtered_relations(self) -> None:
        """A query keeps the FilteredRelation of an annotation by its name."""
        relation = models.FilteredRelation("account", condition=models.Q(account__closed=False))
        query = Organization.objects.annotate(open=relation).query
        assert queries.filtered_relation(query, "open").relation_name == "account"
        assert queries.filtered_relation(query, "account") is None

    def test_output_fields(self) -> None:
        """An expression has an output field, or raises FieldError where nothing tells it."""
        field: Any = Person._meta.get_field("notes")
        assert queries.output_field(models.Value("a", output_field=field)) is field
        assert queries.output_field(models.Value(object())) is None

    def test_compiled_on_this_database(self) -> None:
        """The shapes above are compiled by the connection's own compiler."""
        assert Person.objects.filter(ssn=None).query.get_compiler(connection=connection).as_sql()


class TestQuerysets:
    """What a queryset, and the options of a model, can do."""

    def test_combined_queries(self) -> None:
        """QuerySet._not_support_combined_queries() refuses a union, and nothing else."""
        rows = Person.objects.all()
        querysets.refuse_combined(rows, "update")
        with pytest.raises(NotSupportedError, match="update"):
            querysets.refuse_combined(rows.union(rows), "update")

    def test_plain_twin(self) -> None:
        """A queryset is made of a model, a query, a database's alias and hints."""
        rows: Any = EncryptedQuerySet(Person, using="other", hints={"instance": 1}).filter(pk=5)
        twin: Any = querysets.plain_twin(rows)
        assert type(twin) is models.QuerySet
        assert (twin.model, twin.db, twin._hints) == (Person, "other", {"instance": 1})
        assert str(twin.query) == str(rows.query)
        assert twin.query is not rows.query

    def test_chosen_database(self) -> None:
        """A queryset knows what using() was given, and nothing where a router is to choose."""
        assert querysets.chosen_database(Person.objects.all()) is None
        assert querysets.chosen_database(Person.objects.using("other")) == "other"

    @isolate_apps("tests.app")
    def test_base_manager(self) -> None:
        """Options keep the base manager that was asked for, until they are told to forget it."""

        class Ward(models.Model):
            everything = models.Manager()

            class Meta:
                app_label = "app"

        assert Ward._base_manager.name == "_base_manager"
        querysets.set_base_manager(Ward, "everything")
        assert Ward._base_manager.name == "everything"


class TestRows:
    """What Django calls to write a row."""

    def test_save_table(self) -> None:
        """Its arguments are those of Django, in Django's order."""
        django = inspect.signature(models.Model._save_table)  # type: ignore[attr-defined]
        ours = inspect.signature(Person._save_table, follow_wrapped=False)  # type: ignore[attr-defined]
        assert list(ours.parameters) == list(django.parameters)


def test_constraints_are_asked_for_in_one_place() -> None:
    """validate_constraints() checks what get_constraints() returns, where ours are put in place."""
    assert "get_constraints" in models.Model.validate_constraints.__code__.co_names
    for row in (Person(), Account()):
        [(model, constraints)] = row.get_constraints()
        assert (model, len(constraints)) == (type(row), len(row._meta.constraints))


def test_bulk_update_names_each_row_and_its_fields() -> None:
    """QuerySet.bulk_update() asks each row to prepare, by the method that is watched."""
    assert "_prepare_related_fields_for_save" in models.QuerySet.bulk_update.__code__.co_names
    signature = inspect.signature(models.Model._prepare_related_fields_for_save)  # type: ignore[attr-defined]
    assert list(signature.parameters) == ["self", "operation_name", "fields"]


def test_formsets_ask_for_constraints_too() -> None:
    """BaseModelFormSet.validate_unique() alone does, by a name of its own."""
    assert "_get_unique_checks" in BaseModelFormSet.validate_unique.__code__.co_names
    checks, _ = Account()._get_unique_checks(include_meta_constraints=True)  # type: ignore[attr-defined]
    assert (Account, ("email",)) in checks
    assert (Account, ("email",)) not in Account()._get_unique_checks()[0]  # type: ignore[attr-defined]


class TestForms:
    """Where Django cleans, by methods that other code of ours extends under other names."""

    def test_a_bound_field_is_cleaned(self) -> None:
        """BaseForm._clean_fields() gives each form field what it is bound to."""
        seen: list[Any] = []

        class Asking(CleansBoundField, forms.CharField):
            def clean_bound(self, bound_field: Any) -> Any:
                seen.append((bound_field.initial, bound_field.data))
                return super().clean_bound(bound_field)

        class Form(forms.Form):
            name = Asking(initial="before")

        form = Form({"name": " after "})
        assert form.is_valid()
        assert form.cleaned_data == {"name": "after"}
        assert seen == [("before", " after ")]

    def test_an_instance_is_cleaned(self) -> None:
        """BaseForm.full_clean() calls a model form's _post_clean() last, which fills the instance."""
        seen: list[Any] = []

        class Form(CleansInstance):
            class Meta:
                model = Organization
                fields = ("name",)

            def clean_instance(self) -> None:
                seen.append(self.instance.name)
                super().clean_instance()
                seen.append(self.instance.name)

        assert Form({"name": "after"}, instance=Organization(name="before")).is_valid()
        assert seen == ["before", "after"]


class TestFiles:
    """What a FieldFile keeps of being stored."""

    @pytest.fixture
    def file(self) -> Any:
        @isolate_apps("tests.app")
        def row() -> Any:
            class Scan(models.Model):
                page = models.FileField()

                class Meta:
                    app_label = "app"

            return Scan()

        return row().page

    def test_none(self, file: Any) -> None:
        """Without a file, reading raises what Django's own file does."""
        assert not files.is_unsaved(file)
        with pytest.raises(ValueError, match="no file associated"):
            files.refuse_none(file)

    def test_assigned_and_saved(self, file: Any) -> None:
        """A file that was assigned is unsaved until FieldFile.save() notes what ours does."""
        row = file.instance
        row.page = ContentFile(b"", name="a.pdf")
        assert files.is_unsaved(row.page)
        files.refuse_none(row.page)
        row.page.name = "b.pdf"
        files.note_saved(row.page, ContentFile(b""))
        assert not files.is_unsaved(row.page)
        assert str(row.page) == "b.pdf"
        used = models.fields.files.FieldFile.save.__code__.co_names
        assert {"_set_instance_attribute", "_committed"} <= {*used}


def test_a_json_field_asks_the_database_by_the_method_that_ours_answers() -> None:
    """JSONField.check() calls _check_supported(), and needs nothing else of databases."""
    assert "_check_supported" in models.JSONField.check.__code__.co_names


def test_the_transaction_around_a_test_is_marked() -> None:
    """TestCase marks its atomic blocks, and those inside of them are not."""
    assert Pending("default").commits_with("other")


@pytest.mark.django_db(transaction=True)
def test_another_transaction_is_not_marked() -> None:
    """What was written in a real transaction stands with its own database alone."""
    with transaction.atomic():
        assert not Pending("default").commits_with("other")
        assert Pending("default").commits_with("default")
