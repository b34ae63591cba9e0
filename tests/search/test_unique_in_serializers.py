"""Serializers of REST framework refuse exactly what the database would, at the field, and never fail."""

from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import isolate_apps
from rest_framework import generics, serializers
from rest_framework.test import APIRequestFactory

from django_workos_vault import vaults
from django_workos_vault.exceptions import EnvelopeError, VaultError
from django_workos_vault.fields import EncryptedCharField, FromRow
from django_workos_vault.indexes import BlindIndex, Digits
from tests.app.models import Organization
from tests.tables import tables

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no such constraints to agree with"),
]

#: What the constraint says besides its columns.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "condition": {"condition": models.Q(closed=False)},
    "told": {"violation_error_message": "Taken here.", "violation_error_code": "taken"},
}
if connection.vendor == "postgresql":  # the version is asked for in a fixture: not while tests are collected
    KINDS["nulls equal"] = {"nulls_distinct": False}
CONTEXTS = {
    "one key": None,
    "keys of the organizations": {"organization_id": FromRow("organization.workos_id")},
}
MODELS = [key for key in product(KINDS, CONTEXTS) if key != ("told", "keys of the organizations")]

#: What the row to update has as its number, and what is sent.
HELD = ["4-4-4", "1-2-3", None, "withdrawn", "no cell", "older"]
SENT = {
    f"{number}, {organization}, {closed}": {
        name: value
        for name, value in {"number": number, "organization": organization, "closed": closed}.items()
        if value != "-"
    }
    for number in ("-", "123", "999", None)
    for organization in ("-", "one", "two", None)
    for closed in ("-", True, False)
}


def make_model(kind: str, context: str) -> Any:
    class Member(models.Model):
        organization = models.ForeignKey(Organization, models.CASCADE, null=True, db_constraint=False)
        number = EncryptedCharField(
            max_length=20, null=True, key_context=CONTEXTS[context], blind_indexes=[Digits(exact=True)]
        )
        closed = models.BooleanField(default=False)

        class Meta:
            app_label = "app"
            db_table = f"member_{MODELS.index((kind, context))}"
            constraints = [
                models.UniqueConstraint(
                    "organization", BlindIndex("number"), name=f"{db_table}_number", **KINDS[kind]
                )
            ]

    return Member


@pytest.fixture(scope="module")
def made(django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[tuple[str, str], Any]]:
    """The models, with their tables outside of any test's transaction."""
    found = {}
    for key in MODELS:
        with isolate_apps("tests.app"):
            found[key] = make_model(*key)
    with django_db_blocker.unblock(), tables(*found.values()):
        yield found


@pytest.fixture
def orgs() -> dict[str, Organization]:
    return {name: Organization.objects.create(name=name, workos_id=f"org_{name}") for name in ("one", "two")}


@pytest.fixture(params=MODELS, ids=" with ".join)
def member(request: pytest.FixtureRequest, made: Any, orgs: dict[str, Organization]) -> Any:
    """A model with rows of number 1-2-3 in "one", and without a number in "one" and in none."""
    kind, context = request.param
    if kind == "nulls equal" and not connection.features.supports_nulls_distinct_unique_constraints:
        pytest.skip("PostgreSQL has it from 15 on")
    model = made[request.param]
    model.objects.create(organization=orgs["one"], number="1-2-3")
    model.objects.create(organization=orgs["one"], number=None)
    if context == "one key":
        model.objects.create(organization=None, number="1-2-3", closed=True)
    return model


def serializer_of(model: Any, **declared: Any) -> Any:
    meta = {"model": model, "fields": ["organization", "number", "closed"]}
    if "number" not in declared:
        meta["extra_kwargs"] = {"number": {"write_only": True}}  # an answer cannot have what cannot be opened
    return type(
        "MemberSerializer", (serializers.ModelSerializer,), {"Meta": type("Meta", (), meta), **declared}
    )


def cases(model: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is sent; the column of the condition where there is one."""
    for case, names in SENT.items():
        if model._meta.constraints[0].condition or "closed" not in names:
            yield case, names


def put_on(row: Any, sent: dict[str, Any]) -> Any:
    for name, value in sent.items():
        setattr(row, name, value)
    return row


def refused(row: Any) -> str:
    """What saving the row ends with, the database unchanged."""
    try:
        with transaction.atomic():
            row.save()
            raise InterruptedError
    except InterruptedError:
        return ""
    except IntegrityError:
        return "taken"
    except (EnvelopeError, VaultError):
        return "lost"


def ask(model: Any, method: str, sent: dict[str, Any], row: Any = None) -> Any:
    """The answer of a view, rolled back."""
    view = type(
        "View",
        (generics.CreateAPIView, generics.UpdateAPIView),
        {"queryset": model.objects.all(), "serializer_class": serializer_of(model)},
    )
    data = {name: value.pk if isinstance(value, Organization) else value for name, value in sent.items()}
    request = getattr(APIRequestFactory(), method)("/", data, format="json")
    with transaction.atomic():
        answer = view.as_view()(request, **({"pk": row.pk} if row else {}))
        transaction.set_rollback(True)
    return answer


def check(answer: Any, outcome: str, model: Any, case: str) -> None:
    """The answer is the one that fits what saving ends with, at the field and without the value."""
    if not outcome:
        assert answer.status_code < 300, f"{case}: {answer.data}"
        return
    assert answer.status_code == 400, case
    assert list(answer.data) == ["number"], f"{case}: {answer.data}"
    [error] = answer.data["number"]
    [constraint] = model._meta.constraints
    code = "cannot_be_opened" if outcome == "lost" else constraint.violation_error_code or "unique_together"
    assert error.code == code, case
    assert "123" not in error, case
    assert "1-2-3" not in error, case
    if outcome == "taken" and code == "taken":
        assert error == "Taken here."


def test_creating(member: Any, orgs: dict[str, Organization]) -> None:
    """POST of each mixture of fields."""
    for case, names in cases(member):
        sent = {name: orgs.get(value, value) for name, value in names.items()}
        row = put_on(member(), sent)
        if member._meta.get_field("number").key_context and row.number and row.organization is None:
            continue  # no organization, no key: what the model asks is the model's business
        check(ask(member, "post", sent), refused(row), member, case)


@pytest.mark.parametrize(
    ("method", "held"), [*(("patch", held) for held in HELD), ("put", "4-4-4"), ("put", "withdrawn")]
)
def test_updating(member: Any, orgs: dict[str, Organization], held: Any, method: str) -> None:
    """PATCH and PUT of each mixture of fields, on a row with each kind of cell."""
    others = dict.fromkeys(["withdrawn", "no cell", "older"], "5-5-5")
    row = member.objects.create(organization=orgs["two"], number=others.get(held, held))
    field = member._meta.get_field("number")
    if held == "withdrawn" and not field.key_context:
        pytest.skip("there is no key of the organization")
    if held in ("no cell", "older"):
        cell = b"no cell"
        if held == "older":
            cell = field.cipher.seal(b"1-2-3", field.context_for(row))
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {member._meta.db_table} SET number = %s WHERE id = %s", [cell, row.pk])
    if held == "withdrawn":
        vaults["default"].keyring.forget()
        backend: Any = vaults["default"].backend
        backend.revoke("organization_id", "org_two")
    for case, names in cases(member):
        sent = {name: orgs.get(value, value) for name, value in names.items()}
        changed = put_on(member.objects.get(pk=row.pk), sent)
        if field.key_context and changed.organization is None:
            continue
        if held == "withdrawn" and sent.get("number") and changed.organization_id == row.organization_id:
            continue  # nothing new can be sealed for that organization, wherever it comes from
        answer, outcome = ask(member, method, sent, row), refused(changed)
        if held == "older" and not outcome and answer.status_code == 400:
            outcome = "taken"  # compared by its value; the database has no digest of it
        check(answer, outcome, member, f"{held}: {case}")


class TestSerializersOfOnesOwn:
    """Fields that a serializer declares itself."""

    @pytest.fixture
    def model(self, made: Any, orgs: dict[str, Organization]) -> Any:
        model = made["plain", "one key"]
        model.objects.create(organization=orgs["one"], number="1-2-3")
        return model

    @pytest.fixture
    def elsewhere(self, model: Any, orgs: dict[str, Organization]) -> Any:
        return model.objects.create(organization=orgs["two"], number="1-2-3")

    DECLARED: dict[str, Any] = {
        "another field": {"number": serializers.CharField()},
        "a slug": {"organization": serializers.SlugRelatedField("name", queryset=Organization.objects.all())},
        "both": {
            "number": serializers.CharField(),
            "organization": serializers.SlugRelatedField("name", queryset=Organization.objects.all()),
        },
    }

    @pytest.mark.parametrize("declared", DECLARED)
    def test_declared_fields(self, model: Any, elsewhere: Any, orgs: Any, declared: str) -> None:
        """A declared field does not take along a model field's validators."""
        serializer = serializer_of(model, **self.DECLARED[declared])
        one = orgs["one"].pk if declared == "another field" else "one"
        for case in (
            serializer(data={"organization": one, "number": "123"}),
            serializer(elsewhere, data={"organization": one}, partial=True),
            serializer(elsewhere, data={"organization": one, "number": "123"}),
        ):
            assert not case.is_valid()
            assert list(case.errors) == ["number"]
        assert serializer(elsewhere, data={"number": "1 2 3"}, partial=True).is_valid()

    def test_other_names(self, model: Any, elsewhere: Any, orgs: Any) -> None:
        """The error has the name that the client knows; a key in the place of the row does."""

        class Serializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            no = serializers.CharField(source="number")
            organization_id = serializers.IntegerField()

            class Meta:
                model = elsewhere._meta.model
                fields = ["no", "organization_id"]

        for case in (
            Serializer(data={"organization_id": orgs["one"].pk, "no": "123"}),
            Serializer(elsewhere, data={"organization_id": orgs["one"].pk}, partial=True),
        ):
            assert not case.is_valid()
            assert list(case.errors) == ["no"]

    def test_a_serializer_without_the_number(self, model: Any, elsewhere: Any, orgs: Any) -> None:
        """The error is the row's where the client knows no such field."""

        class Serializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            class Meta:
                model = elsewhere._meta.model
                fields = ["organization"]

        moved = Serializer(elsewhere, data={"organization": orgs["one"].pk})
        assert not moved.is_valid()
        assert list(moved.errors) == ["non_field_errors"]
        assert Serializer(data={"organization": orgs["one"].pk}).is_valid()

    def test_what_only_the_view_knows(self, model: Any) -> None:
        """A column that is not in the serializer, and without a row, is not guessed at."""

        class Serializer(serializers.ModelSerializer):  # type: ignore[type-arg]
            class Meta:
                fields = ["number"]

        Serializer.Meta.model = model  # type: ignore[attr-defined]
        assert Serializer(data={"number": "123"}).is_valid()

    def test_nested(self, model: Any, orgs: Any) -> None:
        """In a serializer of another's, and in one of many."""

        class Case(serializers.Serializer):  # type: ignore[type-arg]
            member = serializer_of(model)()
            members = serializer_of(model)(many=True)

        one, two = ({"organization": orgs[name].pk, "number": "123"} for name in ("one", "two"))
        case = Case(data={"member": one, "members": [two, one]})
        assert not case.is_valid()
        assert list(case.errors["member"]) == ["number"]
        members: Any = case.errors["members"]
        assert [list(members[at]) for at in members if members[at]] == [["number"]]
        assert Case(data={"member": two, "members": [two]}).is_valid()

    def test_a_nested_organization(self, model: Any, orgs: Any) -> None:
        """What the view makes a row of later is compared with nothing."""

        class Nested(serializers.ModelSerializer):  # type: ignore[type-arg]
            class Meta:
                model = Organization
                fields = ["name"]

        serializer = serializer_of(model, organization=Nested())
        assert serializer(data={"organization": {"name": "new"}, "number": "123"}).is_valid()

    def test_many_rows(self, model: Any, elsewhere: Any) -> None:
        """As with plain fields: the serializer of many must say which row it validates."""
        rows = list(model.objects.all())
        many = serializer_of(model)(rows, data=[{"number": "1"}, {"number": "2"}], many=True, partial=True)
        with pytest.raises(RuntimeError, match="run_child_validation"):
            many.is_valid()

    def test_own_validators(self, model: Any, orgs: Any) -> None:
        """``Meta.validators`` replaces what is made of constraints, as it does for plain fields."""
        serializer = serializer_of(model)
        serializer.Meta.validators = []
        assert serializer(data={"organization": orgs["one"].pk, "number": "123"}).is_valid()

    def test_the_row_itself_is_not_touched(self, model: Any, elsewhere: Any, orgs: Any) -> None:
        """What was only validated is not on the row, and its cell stays closed."""
        row = model.objects.get(pk=elsewhere.pk)
        with vaults["default"].decryption_forbidden():
            assert not serializer_of(model)(
                row, data={"organization": orgs["one"].pk}, partial=True
            ).is_valid()
        assert row.organization == orgs["two"]
        assert SimpleNamespace(**vars(row)).organization_id == orgs["two"].pk
