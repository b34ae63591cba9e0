"""The emulator against the published API description: schema-driven requests, every answer checked.

``contract/vault-openapi.yaml`` is the Vault part of WorkOS's API description, unchanged. It leaves out the
answers that no operation has to itself: 401 without an API key, 429 over the rate limit, 5xx, 404 for other
paths, 405 for other methods. The run below therefore sends the key with every request; the other tests here
test those answers by hand.
"""

from itertools import count
from uuid import uuid4

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from django_workos_vault.emulator import run_emulator
from tests.contract import description

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
CONTEXT = {"app": "clinic"}

DESCRIPTION = description()
del DESCRIPTION["security"]  # or schemathesis leaves the key out of some requests: see above
schema = schemathesis.openapi.from_dict(DESCRIPTION)


@pytest.fixture(scope="module")
def http():
    with run_emulator() as emulator:
        headers = {"Authorization": f"Bearer {emulator.api_key}"}
        with httpx.Client(base_url=emulator.url, headers=headers, verify=False) as client:
            yield client


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


@pytest.fixture
def reached():
    """The statuses that one operation answered with. Among them must be a success and a refusal."""
    statuses = set()
    yield statuses
    assert statuses & {200, 201}
    assert statuses & {400, 404, 409, 422}


turns = count()


def give_something_that_exists(case, http):
    """Replace what ``case`` refers to, in every other call: noise alone finds nothing to act on."""
    if next(turns) % 2:
        return
    if "id" in case.path_parameters:
        case.path_parameters["id"] = create_object(http)["id"]
    if case.path_parameters.get("name"):
        case.path_parameters["name"] = "a name"
    for cursor in {"before", "after"} & set(case.query):
        case.query[cursor] = create_object(http)["id"]
    for member in ("keys", "encrypted_keys"):
        if isinstance(case.body, dict) and member in case.body:
            created = http.post("/vault/v1/keys/data-key", json={"context": CONTEXT})
            case.body[member] = created.json()["encrypted_keys"]


def create_object(http, name=None):
    body = {"name": name or str(uuid4()), "value": "secret", "key_context": CONTEXT}
    return http.post("/vault/v1/kv", json=body).json()


@schema.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_answer_is_described(case, http, session, reached):
    """Whatever is sent, right, wrong or at a limit: status, content type and body are in the description."""
    create_object(http, "a name")
    give_something_that_exists(case, http)
    answer = case.call(base_url=str(http.base_url), headers=dict(http.headers), session=session)
    case.validate_response(answer, checks=CHECKS)
    reached.add(answer.status_code)


def test_every_operation_is_served():
    """The description has eleven operations, and the run above saw each of them."""
    assert sum(1 for _ in schema.get_all_operations()) == 11
