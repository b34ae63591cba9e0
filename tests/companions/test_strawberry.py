"""strawberry-django types encrypted fields as it types plain ones."""

from typing import Any

import pytest
from django.test.utils import override_settings

from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.fields import aload_keys
from tests.app.everything import EACH_TYPE, Everything, PlainEverything
from tests.app.models import Person

strawberry = pytest.importorskip("strawberry")
strawberry_django = pytest.importorskip("strawberry_django")
from strawberry_django.fields.types import field_type_map, input_field_type_map  # noqa: E402

pytestmark = pytest.mark.usefixtures("strawberry_clones")


@pytest.mark.parametrize("name", EACH_TYPE)
def test_types_are_those_of_the_plain_model(name: str) -> None:
    """Output and input types of each field: the plain field's, none where that has none."""
    plain, ours = (type(model._meta.get_field(name)) for model in (PlainEverything, Everything))
    for known in (field_type_map, input_field_type_map):
        assert known.get(ours) == known.get(plain)


def schema() -> Any:
    @strawberry_django.type(Person, name="Person", fields=["ssn", "notes"])
    class PersonType:
        pass

    @strawberry.type
    class Query:
        people: list[PersonType] = strawberry_django.field()

    return strawberry.Schema(Query)


@pytest.mark.django_db
def test_values_come_out() -> None:
    """A query's answer is the plaintext that the schema was asked for."""
    Person.objects.create(ssn="123-45-6789", notes="a note")
    answer = schema().execute_sync("{ people { ssn notes } }")
    assert answer.errors is None
    assert answer.data == {"people": [{"ssn": "123-45-6789", "notes": "a note"}]}


@pytest.mark.django_db(transaction=True)
@override_settings(DEBUG=False)
async def test_async_queries_load_the_keys_first(remote_vault: RunningEmulator) -> None:
    """In an event loop, a resolver that loads the keys can answer; the error otherwise says what to do."""
    from django_workos_vault import vaults

    await Person.objects.acreate(ssn="123-45-6789", notes="a note")

    @strawberry_django.type(Person, name="Person", fields=["ssn"])
    class PersonType:
        pass

    @strawberry.type
    class Query:
        @strawberry_django.field
        async def people(self) -> list[PersonType]:
            people = [person async for person in Person.objects.all()]
            await aload_keys(people)
            return people  # type: ignore[return-value]

    vaults["default"].forget_keys()
    answer = await strawberry.Schema(Query).execute("{ people { ssn } }")
    assert answer.errors is None
    assert answer.data == {"people": [{"ssn": "123-45-6789"}]}
