"""Does it match? Yes or no, limited and on the record, without revealing."""

from typing import Any

import pytest
from django.test import Client, override_settings

from tests.admin.revealing import EMAIL, NOTES, SSN, address, logged_in, person, records, staff
from tests.admin.test_types import VALUES
from tests.app.models import Credential, Person, Questionnaire

pytestmark = pytest.mark.django_db
YES, NO = "Yes, it is the same.", "No, it is not the same."


@pytest.fixture
def row() -> Person:
    return person()


@pytest.fixture
def matcher() -> Client:
    """Somebody who may compare, and see nothing."""
    return logged_in(staff("view_person", "match_plaintext_person"))


def says(client: Client, row: Any, field: str, said: str) -> str:
    answer = client.post(address(row, field), {"verb": "match", "said": said})
    html = answer.content.decode()
    assert not [secret for secret in (SSN, NOTES, EMAIL) if secret in html]
    (found,) = [told for told in (YES, NO) if told in html] or [str(answer.status_code)]
    return found


def test_yes_and_no(row: Person, matcher: Client) -> None:
    """The record has the answer, and neither the value nor what was said."""
    assert says(matcher, row, "ssn", SSN) == YES
    assert says(matcher, row, "ssn", f"  {SSN} ") == YES
    assert says(matcher, row, "ssn", "123-45-6780") == NO
    assert says(matcher, row, "ssn", "123") == NO
    assert records() == [("match", "yes"), ("match", "yes"), ("match", "no"), ("match", "no")]
    assert "123" not in str(records("reason", "outcome", "field", "model", "view"))


def test_who_may_compare_may_not_see(row: Person, matcher: Client) -> None:
    """The permissions are two; who may see may compare as well."""
    answer = matcher.post(address(row), {"verb": "reveal"})
    assert answer.status_code == 403
    assert SSN not in answer.content.decode()
    page = matcher.get(address(row)).content.decode()
    assert 'value="match"' in page
    assert 'value="reveal"' not in page
    assert says(logged_in(staff("view_person", name="viewer")), row, "ssn", SSN) == "403"
    sees = logged_in(staff("view_person", "view_plaintext_person", name="sees"))
    assert says(sees, row, "ssn", SSN) == YES


def test_a_number_of_times_an_hour(row: Person, matcher: Client) -> None:
    """Guessing is slow: then there is a message, and no answer."""
    with override_settings(WORKOS_VAULT_ADMIN={"MATCHES_AN_HOUR": 3}):
        assert [says(matcher, row, "ssn", str(n)) for n in range(3)] == [NO] * 3
        assert says(matcher, row, "ssn", SSN) == "429"
    assert records()[-1] == ("denied", "hourly limit of comparisons")


@pytest.mark.parametrize("said", ["", "   "])
def test_nothing_said_is_asked_for(row: Person, matcher: Client, said: str) -> None:
    """It is no comparison."""
    assert says(matcher, row, "ssn", said) == "422"
    assert records() == []


SAID: dict[str, tuple[list[str], list[str]]] = {
    "big": ([str(VALUES["big"])], ["x", "", "1e400", "9" * 5000]),
    "choice": ([VALUES["choice"]], ["another"]),
    "number": ([str(VALUES["number"]), f" {VALUES['number']} "], ["12e", "-1"]),
    "price": ([str(VALUES["price"])], ["1.001", "NaN"]),
    "ratio": ([str(VALUES["ratio"])], ["inf", "nan"]),
    "token": ([str(VALUES["token"]), str(VALUES["token"]).upper()], ["no token"]),
    "flag": ([str(VALUES["flag"])], ["perhaps", str(not VALUES["flag"])]),
    "slug": ([VALUES["slug"]], ["another"]),
    "data": (['{"a":  1}'], ["{", "[]"]),
}


@pytest.mark.filterwarnings("ignore:The default scheme will be changed")
@pytest.mark.parametrize("field", SAID)
def test_what_is_said_is_read_as_the_form_reads_it(admin_client: Client, field: str) -> None:
    """Numbers are numbers and JSON is JSON; what is no value of the field's type is not the same."""
    row = Questionnaire.objects.create(**{**VALUES, "data": {"a": 1}})
    same, others = SAID[field]
    assert [says(admin_client, row, field, said) for said in same] == [YES] * len(same)
    assert {says(admin_client, row, field, said) for said in others if said} == {NO}


def test_objects_in_vault(admin_client: Client) -> None:
    """A text is compared as it is, JSON as JSON."""
    assert says(admin_client, Credential.objects.create(token="s3cret"), "token", "s3cret") == YES
    row = Credential.objects.create(token={"a": 1, "b": 2})
    assert says(admin_client, row, "token", '{"b": 2, "a": 1}') == YES
    assert says(admin_client, row, "token", '{"b": 2}') == NO
