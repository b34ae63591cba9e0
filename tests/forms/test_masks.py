"""Masks: what is shown of a value that may not be read."""

from typing import Any

import pytest
from django.core import checks
from django.db import models

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
        ("email", "ada@example.com", "a••••@example.com"),
        ("email", "a@example.com", "••••@example.com"),
        ("email", "no address", masks.FULL),
        ("email", "ada@", masks.FULL),
        ("email", "", masks.FULL),
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
