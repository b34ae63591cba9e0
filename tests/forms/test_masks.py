"""Masks: what is shown of a value that may not be read."""

import json
import logging
import re
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from django.core import checks
from django.db import models
from django.utils.safestring import mark_safe
from hypothesis import example, given
from hypothesis import strategies as st

from django_workos_vault import masks
from django_workos_vault.fields import EncryptedCharField


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("last4", "123-45-6789", "•••• 6789"),
        ("last4", 4111111111111111, "•••• 1111"),
        ("last4", "12345678", "•••• 5678"),
        ("last4", "1234567", masks.FULL),
        ("last4", "", masks.FULL),
        ("last4", True, masks.FULL),
        ("last4", {"number": "12345678"}, masks.FULL),
        ("email", "ada@example.com", "a••••@••••.com"),
        ("email", "a@example.com", masks.FULL),
        ("email", "jo@ex.io", masks.FULL),
        ("email", "no address", masks.FULL),
        ("email", "ada@", masks.FULL),
        ("email", "", masks.FULL),
        ("first_last", "Lovelace", "L••••••e"),
        ("first_last", "Ada", masks.FULL),
        ("first_last", 1234, masks.FULL),
        ("card", "4242 4242 4242 4242", "•••• •••• •••• 4242"),
        ("card", 378282246310005, "•••• •••• •••• 0005"),
        ("card", "4242-4242", masks.FULL),
        ("card", "4242 4242 4242 424x", masks.FULL),
        ("phone", "+44 (0)20 7946-0567", "•••• 567"),
        ("phone", "110", masks.FULL),
        ("phone", "call me at noon", masks.FULL),
        ("year", date(1971, 7, 17), "1971 ••••"),
        ("year", date(33, 1, 1), "0033 ••••"),
        ("year", datetime(1972, 1, 1, 3, tzinfo=UTC), "1971 ••••"),  # in America/Chicago
        ("year", datetime(1, 1, 1, tzinfo=UTC), masks.FULL),
        ("year", "1971-07-17", "1971 ••••"),
        ("year", "1971W29", masks.FULL),
        ("year", "next year", masks.FULL),
        ("year", time(7, 7), masks.FULL),
        ("keys", {"street": "Long Lane 1", "city": "Ely"}, "street, city: ••••"),
        ("keys", {"diagnosis": 1}, masks.FULL),
        ("keys", {}, masks.FULL),
        ("keys", [{"street": 1}], masks.FULL),
        ("keys", {str(number): "x" * 9 for number in range(21)}, masks.FULL),
    ],
)
def test_what_is_shown(name: str, value: Any, shown: str) -> None:
    """A value too short, or of another kind, is masked whole."""
    assert masks.masked(name, lambda: value) == shown


def test_full_does_not_read_the_value() -> None:
    """The mask that every field has unless told otherwise opens nothing."""

    def read() -> Any:
        raise AssertionError("read")

    assert masks.masked("full", read) == masks.FULL


def test_a_check_refuses_unknown_masks() -> None:
    """The error lists the masks there are."""

    class Model(models.Model):
        ssn = EncryptedCharField(max_length=11, mask="last_4")

        class Meta:
            app_label = "elsewhere"

    found = [m for m in Model._meta.get_field("ssn").check() if isinstance(m, checks.Error)]
    assert [m.id for m in found] == ["django_workos_vault.E007"]
    assert "'last4'" in (found[0].hint or "")


def as_text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value.hex() if isinstance(value, bytes) else str(value)


def characters_shown(shown: str, value: Any) -> int:
    """How many characters of the value stand in its mask, by the count least in the mask's favour."""
    return (Counter(shown.replace("•", "").replace(" ", "")) & Counter(as_text(value))).total()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)
)
VALUES = st.one_of(
    st.text(),
    st.from_regex(r"[0-9 +()-]{0,20}", fullmatch=True),
    st.integers(),
    st.emails(),
    st.from_regex(r"[a-z.]{0,20}@[a-z.]{0,9}", fullmatch=True),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
    st.dates().map(str),
    st.booleans(),
    st.floats(),
    st.decimals(),
    st.binary(),
    st.uuids(),
    JSON,
)


@pytest.mark.parametrize("name", masks.NAMES)
@given(value=VALUES)
@example(value="1971W29")
@example(value="a@b.c")
def test_at_most_half_of_any_value_is_shown(name: str, value: Any) -> None:
    """Of whatever type and length the value is."""
    shown = masks.masked(name, lambda: value)
    assert characters_shown(shown, value) <= len(as_text(value)) // 2
    assert len(shown) <= 250


def test_no_domain_ends_with_a_text() -> None:
    """What stands after the last dot is shown as far as it can be the end of a domain."""
    assert masks.masked("email", lambda: f"{'a' * 500}@b.{'c' * 63}").endswith("c" * 63)
    assert masks.masked("email", lambda: f"{'a' * 500}@b.{'c' * 64}") == masks.FULL


#: Values of a mask that show the same: what they hide differs in length.
ALIKE: dict[str, Any] = {
    "full": st.text(),
    "first_last": st.text(min_size=2).map(lambda hidden: f"A{hidden}e"),
    "last4": st.text(min_size=4).map(lambda hidden: f"{hidden}6789"),
    "card": st.from_regex("[0-9]{8,15}", fullmatch=True).map(lambda hidden: f"{hidden}4242"),
    "phone": st.from_regex("[0-9]{3,12}", fullmatch=True).map(lambda hidden: f"{hidden}567"),
    "email": st.from_regex("[a-z]{3,50}@[a-z]{3,50}", fullmatch=True).map(lambda hidden: f"a{hidden}.com"),
    "year": st.dates(date(1971, 1, 1), date(1971, 12, 31)),
    "keys": st.tuples(st.text(min_size=9), st.text()).map(
        lambda two: dict(zip(("a", "b"), two, strict=True))
    ),
}


def test_every_mask_is_tried() -> None:
    """A new one needs values here."""
    assert set(ALIKE) == set(masks.NAMES)


@pytest.mark.parametrize("name", ALIKE)
def test_the_length_of_a_mask_tells_nothing(name: str) -> None:
    """Values that show the same have the same mask, however long they are."""
    seen = set()

    @given(ALIKE[name])
    def look(value: Any) -> None:
        seen.add(masks.masked(name, lambda: value))

    look()
    assert len(seen) == 1
    assert name == "full" or seen != {masks.FULL}


def initials(value: str) -> str:
    return "".join(word[0] for word in value.split())


def everything(value: Any) -> Any:
    return value


def backwards(value: Any) -> str:
    return as_text(value)[::-1].upper()


def starred(value: str) -> str:
    return value[:1] + "*" * (len(value) - 1)


def crossed(value: str) -> str:
    return "x" * len(value)


def failing(value: Any) -> str:
    return f"{int(value)}"


def nothing(value: Any) -> None:
    return None


def safe(value: Any) -> str:
    return mark_safe("<b>" + value[0])


HERE = __name__


@pytest.mark.parametrize("as_path", [False, True])
@pytest.mark.parametrize(
    ("function", "value", "shown"),
    [
        (initials, "Ada Lovelace", "AL"),
        (initials, "A L", masks.FULL),
        (everything, "Ada Lovelace", masks.FULL),
        (everything, Decimal("12.50"), masks.FULL),
        (backwards, "Ada Lovelace", masks.FULL),
        (backwards, {"a": 1}, masks.FULL),
        (starred, "Ada Lovelace", "A••••"),
        (starred, "Ada", "A••••"),
        (crossed, "Ada Lovelace", "••••"),
        (failing, "Ada Lovelace", masks.FULL),
        (nothing, "Ada Lovelace", masks.FULL),
        (safe, "Ada Lovelace", "<b>A"),
    ],
)
def test_a_function_of_ones_own(function: Any, value: Any, shown: str, as_path: bool) -> None:
    """It is held to what every mask is held to, and cannot bring a page down or put markup into it."""
    found = masks.masked(f"{HERE}.{function.__name__}" if as_path else function, lambda: value)
    assert found == shown
    assert type(found) is str


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        (failing, "It raised ValueError"),
        (nothing, "It returned NoneType"),
        (everything, "more than half"),
        ("last_4", "There is no mask 'last_4'"),
        ("nowhere.at_all", "cannot be imported"),
        (f"{HERE}.HERE", "There is no mask"),
    ],
)
def test_what_is_wrong_is_logged_once_without_the_value(
    mask: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A list of hundreds of rows shows whole masks, and the log one line."""
    masks._complain.cache_clear()
    with caplog.at_level(logging.ERROR):
        shown = {masks.masked(mask, lambda: "the secret") for _ in range(300)}
    assert shown == {masks.FULL}
    assert len(caplog.records) == 1
    assert says in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("mask", [initials, f"{HERE}.initials"])
def test_a_migration_names_a_function_by_its_path(mask: Any) -> None:
    """Both ways of giving it are the same to migrations, and to a clone of the field."""
    field = EncryptedCharField(max_length=50, mask=mask)
    assert field.deconstruct()[3]["mask"] == f"{HERE}.initials"
    assert masks.masked(field.clone().mask, lambda: "Ada Lovelace") == "AL"


@pytest.mark.parametrize("mask", ["nowhere.at_all", "os.sep", None, 4, ["last4"]])
def test_a_check_refuses_what_is_no_function(mask: Any) -> None:
    """Before the first page is shown."""
    assert re.match("The mask .* cannot be imported|There is no mask", masks.problem(mask))


@pytest.mark.parametrize("value", [b"123-45-6789", bytearray(b"123-45-6789"), memoryview(b"123-45-6789")])
def test_bytes_that_are_text_are_not_shown_whole(value: Any) -> None:
    """Half of a value is half of what it says, and of its digits in hex."""
    assert masks.masked(_decoded, lambda: value) == masks.FULL
    assert masks.masked(_last_bytes, lambda: value) == "•••• 3839"


def _decoded(value: Any) -> str:
    return bytes(value).decode()


def _last_bytes(value: Any) -> str:
    return f"•••• {bytes(value).hex()[-4:]}"


def test_a_function_that_changes_its_value_changes_a_copy() -> None:
    """What it took out is not written back with the next save, and still counts."""
    value = {"name": "Augusta Ada King, Countess of Lovelace", "id": 7}
    assert masks.masked(_takes_out, lambda: value) == masks.FULL
    assert value == {"name": "Augusta Ada King, Countess of Lovelace", "id": 7}


def _takes_out(value: Any) -> str:
    name = str(value.pop("name"))
    value["more"] = name * 9
    return name


def test_keys_that_no_page_can_carry() -> None:
    """Half of a surrogate pair would be a server error of the whole list, a line break a second line."""
    shown = masks.keys({"a\ud800b\nc\u202ed": "x" * 50})
    assert shown == "a b c d: ••••"
    assert shown.encode()


@pytest.mark.parametrize("filler", "•●·○■□█*#_.=~+?-xX")
def test_no_filler_counts_what_it_hides(filler: str) -> None:
    def counts(value: str) -> str:
        return filler * len(value)

    assert {masks.masked(counts, lambda n=n: "secret" * n) for n in (1, 2, 3)} == {"••••"}
