"""What a lookup that is not answered says: which blind index would answer it, and how it is asked then."""

import re
from typing import Any

import pytest
from django.core.exceptions import FieldError
from django.db import connection, models
from django.test.utils import isolate_apps

from django_workos_vault import indexes
from django_workos_vault.fields import EncryptedCharField, EncryptedTextField
from tests.app.models import Person

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

    with connection.schema_editor() as editor:
        editor.create_model(Diary)
    try:
        Diary.objects.create(notes="Grace Hopper")
        wanted = Diary.objects.create(notes="Ada Lovelace")
        path = f"notes__{asked[1] if asked else lookup}"
        assert Diary.objects.get(**{path: ANSWERED[lookup]}) == wanted
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Diary)


@pytest.mark.parametrize("lookup", UNANSWERED)
def test_what_no_index_answers(lookup: str) -> None:
    """The message promises none, and quotes nothing that was searched for."""
    said = refusal(lookup, ["secret", "secrets"] if lookup == "range" else "secret")
    assert "No blind index answers this one" in said
    assert "Declare" not in said
    assert "secret" not in said
