"""What is assumed of Django outside of ``fields/django_internals``: one test each."""

import pytest
from django.db import models, transaction

from django_workos_vault.registry.transactions import Pending

pytestmark = pytest.mark.django_db


def test_a_json_field_asks_the_database_by_the_method_that_ours_answers() -> None:
    """JSONField.check() calls _check_supported(), and needs nothing else of databases."""
    assert "_check_supported" in models.JSONField.check.__code__.co_names


def test_the_transaction_around_a_test_is_marked() -> None:
    """TestCase marks its atomic blocks, and those inside of them are not."""
    assert Pending("default").commits_with("other")


@pytest.mark.django_db(transaction=True)
def test_another_transaction_is_not_marked() -> None:
    """What was written in a real transaction stands with its own database alone."""
    with transaction.atomic():
        assert not Pending("default").commits_with("other")
        assert Pending("default").commits_with("default")
