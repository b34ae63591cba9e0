"""Django's plain fields are the oracle: the same operations on plain and encrypted rows look the same."""

import copy
import pickle
from typing import Any

from django.core.exceptions import ValidationError
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.app.everything import EACH_TYPE, TYPES, Everything, PlainEverything

NAMES = st.sampled_from(EACH_TYPE)


@st.composite
def changes(draw: Any) -> dict[str, Any]:
    """Return values, None included, for one to three fields."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return {name: draw(st.sampled_from([None, *TYPES[name].values])) for name in names}


def visible(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview | bytearray) else value


class Twins(RuleBasedStateMachine):
    """One instance of each model, and their rows. Every rule does to both what it compares."""

    MODELS = (PlainEverything, Everything)

    @initialize(given=changes())
    def create(self, given: dict[str, Any]) -> None:
        self.rows = [model.objects.create(**copy.deepcopy(given)) for model in self.MODELS]

    def compare(self) -> None:
        plain, encrypted = ({name: visible(getattr(row, name)) for name in EACH_TYPE} for row in self.rows)
        assert encrypted == plain
        assert {n: type(v) for n, v in encrypted.items()} == {n: type(v) for n, v in plain.items()}

    @rule(given=changes())
    def assign(self, given: dict[str, Any]) -> None:
        for row in self.rows:
            for name, value in copy.deepcopy(given).items():
                setattr(row, name, value)
        self.compare()

    @rule()
    def change_in_place(self) -> None:
        for row in self.rows:
            if isinstance(row.json, list):
                row.json.append(len(row.json))
            elif isinstance(row.json, dict):
                row.json["size"] = len(row.json)

    @rule(names=st.none() | st.lists(NAMES, max_size=3, unique=True))
    def save(self, names: list[str] | None) -> None:
        for row in self.rows:
            row.save(update_fields=names)
        self.compare()

    @rule(names=st.none() | st.lists(NAMES, min_size=1, max_size=3, unique=True))
    def refresh(self, names: list[str] | None) -> None:
        for row in self.rows:
            row.refresh_from_db(fields=names)
        self.compare()

    @rule(name=NAMES, how=st.sampled_from(["only", "defer", "get"]))
    def load(self, name: str, how: str) -> None:
        self.rows = [
            getattr(model.objects, how)(
                *([name] if how != "get" else []), **({"pk": row.pk} if how == "get" else {})
            )
            for model, row in zip(self.MODELS, self.rows, strict=True)
        ]
        self.rows = [row if how == "get" else row.order_by("pk").last() for row in self.rows]
        self.compare()

    @rule(how=st.sampled_from([copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))]))
    def duplicate(self, how: Any) -> None:
        self.rows = [how(row) for row in self.rows]
        self.compare()

    @rule()
    def clone(self) -> None:
        for row in self.rows:
            row.pk = None
            row._state.adding = True
            row.save()
        self.compare()

    @rule(given=changes(), bulk=st.sampled_from(["update", "bulk_update", "bulk_create", "update_or_create"]))
    def write_in_bulk(self, given: dict[str, Any], bulk: str) -> None:
        for model, row in zip(self.MODELS, self.rows, strict=True):
            values = copy.deepcopy(given)
            if bulk == "update":
                model.objects.update(**values)
            elif bulk == "update_or_create":
                model.objects.update_or_create(pk=row.pk, defaults=values)
            elif bulk == "bulk_create":
                model.objects.bulk_create([model(**values), model()])
            else:
                for name, value in values.items():
                    setattr(row, name, value)
                model.objects.bulk_update([row], list(values))
        self.read_all()

    @rule(names=st.lists(NAMES, min_size=1, max_size=3, unique=True))
    def read_values(self, names: list[str]) -> None:
        plain, encrypted = (
            [[visible(value) for value in row] for row in model.objects.order_by("pk").values_list(*names)]
            for model in self.MODELS
        )
        assert encrypted == plain
        for name in names:
            missing = [model.objects.filter(**{f"{name}__isnull": True}).count() for model in self.MODELS]
            assert missing[0] == missing[1]

    @rule()
    def read_all(self) -> None:
        plain, encrypted = (
            [[visible(getattr(row, name)) for name in EACH_TYPE] for row in model.objects.order_by("pk")]
            for model in self.MODELS
        )
        assert encrypted == plain

    @rule()
    def clean(self) -> None:
        outcomes = []
        for row in self.rows:
            try:
                row.full_clean()
                outcomes.append(None)
            except ValidationError as exc:
                outcomes.append(exc.message_dict)
        assert outcomes[0] == outcomes[1]
        self.compare()


class TestTwins(TestCase):
    """Each example runs in a transaction of its own."""

    def test_the_twins_behave_alike(self) -> None:
        """Whatever a program does, it sees the same values with encrypted fields as with plain ones."""
        run_state_machine_as_test(
            Twins,
            settings=settings(
                max_examples=20,
                stateful_step_count=12,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                report_multiple_bugs=False,
            ),
        )
