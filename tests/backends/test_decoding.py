"""What an answer that is not one is called, and that nothing of it is quoted."""

import json

import pytest

from django_workos_vault.backends import answers
from django_workos_vault.backends.carried import Arguments
from django_workos_vault.backends.decoding import Mismatch, error_text
from tests.backends.test_answers import CALLS, _changed, _paths

ASKED = Arguments(
    context={"organization_id": "org_asked", "region": "eu"},
    key_context={"organization_id": "org_asked", "region": "eu"},
    wrapped=b"x",
)
SHAPES = {
    "create": answers.CREATED_KEY,
    "decrypt": answers.DECRYPTED_KEY,
    "object": answers.STORED_OBJECT,
    "read": answers.OBJECT,
    "describe": answers.OBJECT_WITHOUT_VALUE,
    "delete": answers.DELETED,
    "list": answers.OBJECTS,
    "versions": answers.VERSIONS,
}
SECRET = "plaintext 4711"
OTHERS = [
    None,
    True,
    4711,
    -4711,
    4711.5,
    4711**40,
    SECRET,
    f"{SECRET}\n",
    [SECRET],
    {SECRET: SECRET},
    [],
    {},
]


@pytest.mark.parametrize("call", SHAPES)
def test_nothing_is_quoted(call):
    """Whatever stands in place of a member, the refusal says where and how, in one line, and not what."""
    answer = CALLS[call][2]
    for path in _paths(answer):
        for other in OTHERS:
            try:
                SHAPES[call].read(json.dumps(_changed(answer, path, other)).encode(), ASKED)
            except Mismatch as mismatch:
                message = str(mismatch)
                assert "4711" not in message
                assert message.isprintable()
                assert "`" not in message  # nor does msgspec speak for itself
                assert "is not what it should be" not in message


@pytest.mark.parametrize("call", SHAPES)
def test_there_and_back(call):
    """Who answers writes what the client reads."""
    shape = SHAPES[call]
    result = shape.read(json.dumps(CALLS[call][2]).encode(), ASKED)
    again = shape.read(shape.write(result), ASKED)
    assert again == result
    assert getattr(again, "plaintext", None) == getattr(result, "plaintext", None)


@pytest.mark.parametrize("call", SHAPES)
def test_missing(call):
    """Each member is required, or may be left out altogether."""
    answer = CALLS[call][2]
    for name in answer:
        less = {other: answer[other] for other in answer if other != name}
        if name == "version_id":
            SHAPES[call].read(json.dumps(less).encode(), ASKED)
            continue
        if name == "value" and call == "describe":
            continue
        with pytest.raises(Mismatch, match=rf"^{name} is missing$"):
            SHAPES[call].read(json.dumps(less).encode(), ASKED)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "No"}', "No"),
        (b'{"error": 5}', None),
        (b"{}", None),
        (b"<p>", None),
        (b'{"error": "\\ud800"}', None),
        (b'{"error": "\\udc00"}', None),
        (b'{"error": "\\ud83d\\ude00"}', "\N{GRINNING FACE}"),
    ],
)
def test_error_text(body, text):
    """An error answer gives its text; any other gives none."""
    assert error_text(body) == text
