"""``dumpdata`` with ``WORKOS_VAULT_DUMP_PLAINTEXT``: what it writes, and that it comes back."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.core.management import CommandError, call_command
from django.core.serializers.base import DeserializationError, SerializationError
from django.test import override_settings

from django_workos_vault.exceptions import TamperedEnvelope
from django_workos_vault.fields import stored_cell
from django_workos_vault.fields.cell import Sealed
from tests.app.everything import EACH_VALUE, TYPES, Badge, Everything, PlainEverything

pytestmark = [
    pytest.mark.django_db(databases="__all__"),
    pytest.mark.filterwarnings("ignore:.* is dumped as plaintext"),
]

COMMAND_FORMATS = ["json", "jsonl", "xml", "yaml"]


@pytest.fixture(autouse=True)
def _plaintext() -> Iterator[None]:
    with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=True):
        yield


def rows(model: Any) -> list[Any]:
    """Return a row for each value of each type, and one of NULLs."""
    made = [model(pk=index, **{name: value}) for index, (name, value) in enumerate(EACH_VALUE, 1)]
    return [*made, model(pk=len(made) + 1)]


def contents(model: Any, using: str) -> list[dict[str, Any]]:
    return [
        {name: _comparable(getattr(row, name)) for name in TYPES}
        for row in model.objects.using(using).order_by("pk")
    ]


def _comparable(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("format_", COMMAND_FORMATS)
def test_every_value_comes_back(format_: str, tmp_path: Path) -> None:
    """The command's plaintext dump of every value of every type loads, into another database too."""
    Everything.objects.bulk_create(rows(Everything))
    expected = contents(Everything, "default")
    if "json" in format_:  # Django's JSON has milliseconds
        for row in expected:
            for name in ("datetime", "time"):
                row[name] = row[name] and row[name].replace(microsecond=row[name].microsecond // 1000 * 1000)
    fixture = tmp_path / f"everything.{format_}"
    call_command("dumpdata", "app.Everything", format=format_, output=str(fixture), verbosity=0)
    text = fixture.read_text()
    assert "ada@example.com" in text
    assert text.count("workos-vault-cell:") == 1  # the text that looks like a cell
    for alias in ("default", "other"):
        call_command("loaddata", str(fixture), verbosity=0, database=alias)
        assert contents(Everything, alias) == expected
    assert b"ada@example.com" not in b"".join(
        stored_cell(row, "email") for row in Everything.objects.using("other").exclude(email=None)
    )


@pytest.mark.parametrize("format_", [*COMMAND_FORMATS, "python"])
def test_it_is_what_a_plain_model_dumps(format_: str) -> None:
    """A plaintext dump is Django's own: it loads into plain fields, and theirs into encrypted ones."""
    kept = [row for row in rows(Everything) if row.text != "workos-vault-cell:AAAA"]
    plain = [row for row in rows(PlainEverything) if row.text != "workos-vault-cell:AAAA"]
    ours, theirs = (str(serializers.serialize(format_, some)) for some in (kept, plain))
    ours = ours.replace("app.everything", "app.plaineverything")
    if format_ != "xml":  # which has the column type beside each value
        assert ours == theirs
    if format_ != "python":
        for item in serializers.deserialize(format_, ours):
            item.save()
        for item in serializers.deserialize(format_, theirs.replace("app.plaineverything", "app.everything")):
            item.save()
        assert contents(PlainEverything, "default") == contents(Everything, "default")


def test_cells_and_plaintext_of_json_in_xml_do_not_mix_up() -> None:
    """A JSON string is a string again, and one that looks like a cell is no cell."""
    values = ["text", '"quoted"', "workos-vault-cell:AAAA", "", {"a": "workos-vault-cell:AAAA"}, [1], None]
    saved = [Everything.objects.create(json=value).pk for value in values]
    for plaintext in (True, False):
        with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=plaintext):
            dump = serializers.serialize("xml", Everything.objects.all())
        for item in serializers.deserialize("xml", dump):
            item.save()
        assert [Everything.objects.get(pk=pk).json for pk in saved] == values


def test_xml_that_is_no_json_is_refused() -> None:
    """A hand-written XML fixture with another text in a JSON field is one error that does not quote it."""
    field = '<field name="json">s3cret</field>'
    fixture = f'<django-objects><object model="app.everything">{field}</object></django-objects>'
    with pytest.raises(DeserializationError, match="not JSON") as caught:
        list(serializers.deserialize("xml", fixture))
    assert "s3cret" not in str(caught.value)


def break_cell(badge: Badge) -> bytes:
    cell = stored_cell(badge, "number")
    broken = cell[:-1] + bytes((cell[-1] ^ 1,))
    field: Any = Badge._meta.get_field("number")
    badge.__dict__["number"] = Sealed(broken, field)
    Badge.objects.bulk_update([badge], ["number"])
    return broken


@pytest.mark.parametrize("format_", COMMAND_FORMATS)
def test_a_cell_that_cannot_be_opened(format_: str) -> None:
    """It stops a dump of plaintext with one error that names field and row, and not one of cells."""
    Badge.objects.create(code="a", number=471622)
    damaged = Badge.objects.create(code="b", number=5)
    broken = break_cell(damaged)
    with pytest.raises(
        CommandError, match=rf"app\.Badge\.number of row {damaged.pk} cannot be opened.*delete it"
    ):
        call_command("dumpdata", "app.Badge", format=format_, stdout=StringIO())
    with pytest.raises(SerializationError) as caught:
        serializers.serialize(format_, Badge.objects.order_by("pk"))
    assert isinstance(caught.value.__cause__, TamperedEnvelope)
    with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=False):
        out = StringIO()
        call_command("dumpdata", "app.Badge", format=format_, stdout=out)
    for item in serializers.deserialize(format_, out.getvalue(), using="other"):
        item.save(using="other")
    assert stored_cell(Badge.objects.using("other").get(code="b"), "number") == broken
    assert Badge.objects.using("other").get(code="a").number == 471622


class OwnSerializer(serializers.get_serializer("python")):  # type: ignore[misc]
    """A project's own, which does not call Django's ``serialize()``."""

    def serialize(self, queryset: Any, **options: Any) -> Any:
        return [{f.name: f.value_to_string(row) for f in row._meta.concrete_fields} for row in queryset]


def test_a_serializer_of_the_projects_own_gets_cells_too() -> None:
    """It is told by its class, so plaintext leaves only where it was asked for."""
    Badge.objects.create(code="a", number=471622)
    with override_settings(WORKOS_VAULT_DUMP_PLAINTEXT=False):
        [row] = OwnSerializer().serialize(Badge.objects.all())
    assert row["number"].startswith("workos-vault-cell:")
    assert json.dumps(OwnSerializer().serialize(Badge.objects.all())).count("471622") == 1
