"""Requests to the emulator, and what its refusals look like."""

import httpx

CONTEXT = {"organization_id": "org_1"}
JSON = {"Content-Type": "application/json"}


def connect(url, api_key, **options):
    headers = {"Authorization": f"Bearer {api_key}"}
    # There is no TLS here, and loading the certificates would take longer than the tests.
    return httpx.Client(base_url=url, headers=headers, verify=False, **options)


def create_data_key(http, context=CONTEXT):
    answer = http.post("/vault/v1/keys/data-key", json={"context": context})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer, status):
    """Whether the answer is ``status`` with the error body of the API description, and nothing else."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert isinstance(answer.json()["error"], str)
    return True
