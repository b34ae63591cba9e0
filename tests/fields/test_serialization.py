"""Fixtures, caches and pickles hold ciphertext; fixtures hold plaintext only when asked to."""

import pickle
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.cache import caches
from django.core.management import call_command
from django.core.serializers.base import DeserializationError
from django.test import override_settings

from django_workos_vault import vaults
from django_workos_vault.fields import stored_cell
from tests.app.everything import EACH_TYPE, TYPES, Badge, Everything

pytestmark = pytest.mark.django_db(databases="__all__")

FORMATS = ["json", "jsonl", "python", "xml", "yaml"]
VALUES = {name: spec.values[-1] for name, spec in TYPES.items()}
SECRETS = ["ada@example.com", "12345678-1234", "2001:db8", "99999.999", "9999-12-31", "23:59:59"]


def cells(row: Any) -> dict[str, bytes]:
    return {name: stored_cell(row, name) for name in EACH_TYPE}


def make() -> Any:
    return Everything.objects.create(**VALUES | {"ip": "2001:db8::1", "date": TYPES["date"].values[-1]})


@pytest.mark.parametrize("format_", FORMATS)
def test_a_dump_holds_cells_and_loads_as_the_same_cells(format_: str) -> None:
    """Every format round-trips every type as ciphertext, opening nothing, into another database too."""
    before = cells(Everything.objects.get(pk=make().pk))
    vaults.reset()
    with vaults["default"].decryption_forbidden():
        dump = serializers.serialize(format_, Everything.objects.all())
        assert not any(secret in str(dump) for secret in SECRETS)
        Everything.objects.all().delete()
        for item in serializers.deserialize(format_, dump):
            item.save()
        assert cells(Everything.objects.get()) == before
        for item in serializers.deserialize(format_, dump, using="other"):
            item.save(using="other")
        assert cells(Everything.objects.using("other").get()) == before
    assert vaults["default"].backend.requests_made == 0
    row = Everything.objects.using("other").get()
    assert {name: getattr(row, name) for name in EACH_TYPE} == VALUES | {"ip": "2001:db8::1"}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_value_that_is_not_saved_is_dumped_as_a_cell(format_: str) -> None:
    """Plaintext in memory is sealed on its way into a dump; None stays None."""
    dump = serializers.serialize(format_, [Everything(pk=1, **VALUES), Everything(pk=2)])
    assert not any(secret in str(dump) for secret in SECRETS)
    first, second = (item.object for item in serializers.deserialize(format_, dump))
    assert all(getattr(first, name) is not None for name in EACH_TYPE)
    assert all(getattr(second, name) is None for name in EACH_TYPE)


@pytest.mark.parametrize("format_", FORMATS)
def test_plaintext_when_asked_for(format_: str) -> None:
    """With the setting a dump holds plaintext, with a warning that names the field, and loads sealed."""
    Badge.objects.create(code="a", number=471622)
    with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=True):
        with pytest.warns(UserWarning, match=r"app\.Badge\.number is dumped as plaintext") as caught:
            dump = serializers.serialize(format_, Badge.objects.all())
        assert "471622" not in str(caught[0].message)
    assert "471622" in str(dump)
    for item in serializers.deserialize(format_, dump):
        item.save()
    assert b"471622" not in stored_cell(Badge.objects.get(), "number")
    assert Badge.objects.get().number == 471622


@pytest.mark.parametrize("format_", ["json", "xml", "yaml"])
def test_dumpdata_and_loaddata_with_natural_keys(format_: str, tmp_path: Path) -> None:
    """The commands round-trip with natural keys, over rows that exist already."""
    badge = Badge.objects.create(code="a", number=471622)
    before = stored_cell(badge, "number")
    fixture = tmp_path / f"badges.{format_}"
    call_command(
        "dumpdata",
        "app.Badge",
        format=format_,
        output=str(fixture),
        use_natural_primary_keys=True,
        verbosity=0,
    )
    assert "471622" not in fixture.read_text()
    Badge.objects.update(number=1)
    call_command("loaddata", str(fixture), verbosity=0)
    call_command("loaddata", str(fixture), verbosity=0, database="other")
    assert stored_cell(Badge.objects.get(), "number") == before
    assert Badge.objects.using("other").get().number == 471622


def test_a_row_that_cannot_be_opened_is_dumped_as_it_is() -> None:
    """A damaged cell does not stop a backup."""
    badge = Badge.objects.create(code="a", number=1)
    field = Badge._meta.get_field("number")
    cell = field.seal_plaintext(b"")
    broken = cell[:-1] + bytes([cell[-1] ^ 1])
    Badge.objects.bulk_update([_holding(badge, broken)], ["number"])
    for format_ in FORMATS:
        dump = serializers.serialize(format_, Badge.objects.all())
        [item] = serializers.deserialize(format_, dump)
        item.save()
        assert stored_cell(Badge.objects.get(), "number") == broken


def _holding(badge: Badge, cell: bytes) -> Badge:
    badge.__dict__["number"] = type(badge.__dict__["number"])(cell, Badge._meta.get_field("number"))
    return badge


def test_a_fixture_with_a_damaged_cell_is_an_error() -> None:
    """Text that begins like a cell and is none is refused with a reason."""
    fixture = '[{"model": "app.badge", "fields": {"code": "a", "number": "workos-vault-cell:???"}}]'
    with pytest.raises(DeserializationError, match="not base64"):
        [item.save() for item in serializers.deserialize("json", fixture)]
    fixture = '[{"model": "app.badge", "fields": {"code": "a", "number": "no number"}}]'
    with pytest.raises(DeserializationError):
        list(serializers.deserialize("json", fixture))


def test_dumpdata_of_everything_holds_no_plaintext() -> None:
    """The command, as a user calls it."""
    make()
    out = StringIO()
    call_command("dumpdata", "app.Everything", stdout=out)
    assert not any(secret in out.getvalue() for secret in SECRETS)
    assert out.getvalue().count("workos-vault-cell:") == len(EACH_TYPE)


def test_the_cache_framework_holds_ciphertext() -> None:
    """A cached row, or a cached queryset, is a pickle without plaintext."""
    Badge.objects.create(code="a", number=471622)
    row = Badge.objects.get()
    assert row.number == 471622
    caches["default"].set("rows", [row, *Badge.objects.all()])
    assert pickle.dumps(471622)[2:-1] not in pickle.dumps(row)
    assert [cached.number for cached in caches["default"].get("rows")] == [471622, 471622]
    kept = b"".join(caches["default"]._cache.values())  # type: ignore[attr-defined]
    assert (471622).to_bytes(3, "little") not in kept
