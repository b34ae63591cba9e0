"""What a lookup that is not answered says: which blind index would answer it, and how it is asked then."""

import re
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import models
from django.test.utils import isolate_apps

from django_workos_vault import indexes
from django_workos_vault.fields import EncryptedCharField, EncryptedTextField
from tests.app.everything import TYPES, encrypted_field, plain_field
from tests.app.models import Person
from tests.search.declared import values_of
from tests.tables import tables

pytestmark = pytest.mark.django_db(transaction=True)

ANSWERED = {
    "exact": "Ada Lovelace",
    "in": ["Ada Lovelace"],
    "iexact": "ada lovelace",
    "startswith": "Ada",
    "endswith": "lace",
}
UNANSWERED = ("contains", "icontains", "gt", "gte", "lt", "lte", "range", "regex", "iregex", "istartswith")


def refusal(lookup: str, value: Any) -> str:
    with pytest.raises(FieldError) as caught:
        list(Person.objects.filter(**{f"notes__{lookup}": value}))
    return str(caught.value)


@pytest.mark.parametrize("kind", [EncryptedCharField, EncryptedTextField])
@pytest.mark.parametrize("lookup", ANSWERED)
@isolate_apps("tests.app")
def test_what_the_message_says_answers(lookup: str, kind: Any) -> None:
    """Declared and asked to the letter, the index finds the row, and no other."""
    said = refusal(lookup, ANSWERED[lookup])
    declared = re.search(r"Declare blind_indexes=(\[.*?\]) on the field", said)
    asked = re.search(r"ask notes__(\w+)\.", said)
    assert declared, said
    blind_indexes = eval(declared[1], vars(indexes))

    class Diary(models.Model):
        notes = kind(max_length=50, blind_indexes=blind_indexes)

        class Meta:
            app_label = "app"

    with tables(Diary):
        Diary.objects.create(notes="Grace Hopper")
        wanted = Diary.objects.create(notes="Ada Lovelace")
        path = f"notes__{asked[1] if asked else lookup}"
        assert Diary.objects.get(**{path: ANSWERED[lookup]}) == wanted


@pytest.mark.parametrize("lookup", UNANSWERED)
def test_what_no_index_answers(lookup: str) -> None:
    """The message promises none, and quotes nothing that was searched for."""
    said = refusal(lookup, ["secret", "secrets"] if lookup == "range" else "secret")
    assert "No blind index answers this one" in said
    assert "Declare" not in said
    assert "secret" not in said


@isolate_apps("tests.app")
def declared(made_by: str, kinds: list[Any]) -> Any:
    return type(
        "Held",
        (models.Model,),
        {
            "value": encrypted_field(made_by, **({"blind_indexes": kinds} if kinds else {})),
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "app", "db_table": "held"}),
        },
    )


@pytest.mark.parametrize("made_by", TYPES)
def test_every_type_and_lookup(made_by: str) -> None:
    """Whatever Django can ask of the plain column: an index that is named may be declared, and answers."""
    value = next(v for v in values_of(made_by) if v not in (None, "", b"", [], {}))
    plain = plain_field(made_by)
    bare = declared(made_by, [])
    named: dict[str, list[tuple[str, str]]] = {}
    for lookup in sorted(plain.get_lookups()):
        if lookup == "isnull":
            continue
        with pytest.raises(FieldError) as caught:
            bare.objects.filter(
                **{f"value__{lookup}": [value] if lookup in ("in", "range") else value}
            ).exists()
        said = str(caught.value)
        found = re.search(r"Declare blind_indexes=(\[.*?\]) on the field", said)
        assert bool(found) != ("No blind index answers this one" in said), lookup
        if found:
            asked = re.search(r"ask value__(\w+)\.", said)
            named.setdefault(found[1], []).append((lookup, asked[1] if asked else lookup))
    for kinds, lookups in named.items():
        model = declared(made_by, eval(kinds, vars(indexes)))
        field = model._meta.get_field("value")
        assert [m.id for m in field.check() if m.is_serious()] == [], kinds
        with tables(model):
            row = model.objects.create(value=value)
            text = str(value)
            for lookup, path in lookups:
                given = {"startswith": text[:3], "endswith": text[-4:], "in": [value]}.get(lookup, value)
                assert model.objects.get(**{f"value__{path}": given}) == row, (lookup, path)


@isolate_apps("tests.app")
def test_another_index_keeps_its_place() -> None:
    """A field that is searched already: the place in the list is the place in the cell."""
    model = declared("char", [indexes.Exact()])
    with pytest.raises(FieldError) as caught:
        model.objects.filter(value__endswith="lace").exists()
    assert "Append LastCharacters(count=4) to the field's blind_indexes" in str(caught.value)
    assert "Declare" not in str(caught.value)
