"""What limits a reveal: a reason, a password, a number a day; and where a request comes from."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from django_workos_vault.models import AccessRecord
from tests.admin.revealing import PASSWORD, SSN, address, logged_in, person, records, staff
from tests.admin.test_reveal import SEES, holds, reveal
from tests.app.models import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def row() -> Person:
    return person()


@pytest.fixture
def support() -> Client:
    return logged_in(staff(*SEES))


def test_a_reason_may_be_required(row: Person, support: Client) -> None:
    """Without one the page asks for it, and nothing is revealed or on record."""
    with override_settings(WORKOS_VAULT_ADMIN={"REASON_REQUIRED": True}):
        answer = reveal(support, address(row), reason="  ")
        assert answer.status_code == 422
        assert "Say why" in answer.content.decode()
        assert not holds(answer)
        assert records() == []
        assert holds(reveal(support, address(row), reason="ticket"), SSN)


def test_a_password_may_be_asked_for_again(row: Person, support: Client) -> None:
    """It holds for as long as is set; wrong ones are on record, and not taken for ever."""
    with override_settings(WORKOS_VAULT_ADMIN={"PASSWORD_FOR": timedelta(minutes=5)}):
        assert 'type="password"' in support.get(address(row)).content.decode()
        assert not holds(reveal(support, address(row)))
        assert not holds(reveal(support, address(row), password="wrong"))
        assert holds(reveal(support, address(row), password=PASSWORD), SSN)
        assert 'type="password"' not in support.get(address(row)).content.decode()
        assert holds(reveal(support, address(row)), SSN)
        session = support.session
        session["workos_vault_password_at"] -= 301
        session.save()
        for _ in range(3):
            assert reveal(support, address(row), password="wrong").status_code == 403
        answer = reveal(support, address(row), password=PASSWORD)
        assert answer.status_code == 429
        assert "Too many wrong passwords" in answer.content.decode()
    assert records().count(("denied", "wrong password")) == 5


def test_a_daily_limit(row: Person, support: Client, admin_client: Client) -> None:
    """As many values in 24 hours, for each user, whatever was denied meanwhile; then a message."""
    with override_settings(WORKOS_VAULT_ADMIN={"DAILY_LIMIT": 2}):
        assert reveal(support, address(row, "name")).status_code == 404
        assert holds(reveal(support, address(row)), SSN)
        assert holds(reveal(support, address(row)), SSN)
        answer = reveal(support, address(row))
        assert answer.status_code == 429
        assert not holds(answer)
        assert "the 2 values that you may reveal in 24 hours" in answer.content.decode()
        assert holds(reveal(admin_client, address(row)), SSN)
        AccessRecord.objects.update(at=timezone.now() - timedelta(hours=25))
        assert holds(reveal(support, address(row)), SSN)
    assert ("denied", "daily limit") in records()


def from_the_proxy(request: Any) -> str:
    return request.headers["X-Real-IP"]


def test_where_a_request_comes_from_is_configured(row: Person, support: Client) -> None:
    """A name in META, or a function; one that fails is no record, so no value."""
    for configured in ("HTTP_X_REAL_IP", f"{__name__}.from_the_proxy", from_the_proxy):
        with override_settings(WORKOS_VAULT_ADMIN={"REMOTE_ADDRESS": configured}):
            answer = support.post(address(row), {"verb": "reveal"}, headers={"X-Real-IP": "203.0.113.9"})
            assert holds(answer, SSN)
            assert records("remote_address")[-1] == ("203.0.113.9",)
    with override_settings(WORKOS_VAULT_ADMIN={"REMOTE_ADDRESS": from_the_proxy}):
        assert reveal(support, address(row)).status_code == 503
