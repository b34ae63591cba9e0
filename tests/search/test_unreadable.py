"""Searches that must open cells: they open few, and pass over what cannot be opened, but no outage."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When

from django_workos_vault import vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.exceptions import OUTAGES, EnvelopeError, VaultError
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.index_plan import Planner
from tests.app.models import Organization, Resident
from tests.keyring.rings import fail_at_once
from tests.maintenance.test_failing_keys import KeysDown, down
from tests.security.test_attacks import our_locals

__all__ = ["down"]  # a fixture

pytestmark = pytest.mark.django_db

TOWNS = ["Paris", "London", "Turin", "Oslo", None]


@pytest.fixture
def orgs() -> list[Organization]:
    """Three organizations with forty residents."""
    made = [Organization.objects.create(name=name, workos_id=f"org_{name}") for name in "abc"]
    chance = random.Random(7)
    residents = []
    for number in range(40):
        town = chance.choice(TOWNS)
        residents.append(
            Resident(
                organization=chance.choice(made),
                room=chance.choice([1, 2, None]),
                town=town,
                plain=town,
                street=number,
            )
        )
    Resident.objects.bulk_create(residents)
    return made


def withdraw(organization: Organization) -> None:
    """Let the organization withdraw its key, and every process start afresh."""
    backend: Any = vaults["default"].backend
    vaults["default"].keyring.forget()
    backend.revoke("organization_id", organization.workos_id)


def ids(queryset: QuerySet[Any]) -> list[int]:
    return sorted(queryset.values_list("pk", flat=True))


residents = Resident.objects
of_a = Q(organization__name="a")
Build = Callable[[str, Any], QuerySet[Any]]

QUERIES: dict[str, Build] = {
    "and": lambda t, o: residents.filter(organization=o, **{t: "Paris"}),
    "and not": lambda t, o: residents.filter(organization=o).exclude(**{t: "Paris"}),
    "not and": lambda t, o: residents.exclude(organization=o, **{t: "Paris"}),
    "or": lambda t, o: residents.filter(Q(organization=o) | Q(**{t: "Paris"})),
    "nor": lambda t, o: residents.exclude(Q(organization=o) | Q(**{t: "Paris"})),
    "xor": lambda t, o: residents.filter(Q(organization=o) ^ Q(**{t: "Paris"})),
    "and or": lambda t, o: residents.filter(Q(room=1) | Q(**{t: "Paris"}), organization=o),
    "and (not or)": lambda t, o: residents.filter(~Q(Q(room=1) | Q(**{t: "Paris"})), organization=o),
    "or beside or": lambda t, o: residents.filter(
        Q(room=1) | Q(room=2), Q(**{t: "Paris"}) | Q(**{t: "Oslo"})
    ),
    "null beside": lambda t, o: residents.filter(room=None, **{t: "Paris"}),
    "not null beside": lambda t, o: residents.exclude(room=None).exclude(**{t: "Paris"}),
    "in": lambda t, o: residents.filter(organization__in=[o], **{f"{t}__in": ["Paris", "Oslo", "x"]}),
    "in a subquery": lambda t, o: residents.filter(
        organization__in=Organization.objects.filter(name="a"), **{t: "Paris"}
    ),
    "across a relation": lambda t, o: residents.filter(of_a, **{t: "Paris"}),
    "not across a relation": lambda t, o: residents.filter(~of_a, **{t: "Paris"}),
    "from a relation": lambda t, o: Organization.objects.filter(
        **{f"resident__{t}": "Paris"}, resident__room=1
    ).distinct(),
    "from two relations": lambda t, o: (
        Organization.objects.filter(resident__room=1).filter(**{f"resident__{t}": "Paris"}).distinct()
    ),
    "not from a relation": lambda t, o: Organization.objects.exclude(
        **{f"resident__{t}": "Paris"}, resident__room=1
    ),
    "joined to itself": lambda t, o: residents.filter(
        room=1, organization__resident__room=2, **{f"organization__resident__{t}": "Paris"}
    ).distinct(),
    "left join": lambda t, o: Organization.objects.filter(
        Q(resident__isnull=True) | Q(**{f"resident__{t}": "Oslo"})
    ).distinct(),
    "exists": lambda t, o: Organization.objects.filter(
        Exists(residents.filter(organization=OuterRef("pk"), room=1, **{t: "Paris"}))
    ),
    "not exists": lambda t, o: residents.filter(
        ~Exists(residents.filter(organization=OuterRef("organization"), room=1, **{t: "Oslo"})), room=2
    ),
    "count": lambda t, o: Organization.objects.annotate(
        n=Count("resident", filter=Q(**{f"resident__{t}": "Paris"}))
    ).filter(n__gt=3),
    "case": lambda t, o: (
        residents.filter(organization=o)
        .annotate(x=Case(When(**{t: "Paris"}, then=Value(1)), default=Value(2)))
        .filter(x=1)
    ),
    "grouped": lambda t, o: (
        residents.filter(organization=o, **{t: "Paris"})
        .annotate(n=Count("organization__resident"))
        .filter(n__gt=0)
    ),
    "two querysets": lambda t, o: residents.filter(organization=o) | residents.filter(**{t: "Paris"}),
    "both querysets": lambda t, o: residents.filter(organization=o) & residents.exclude(**{t: "Paris"}),
    "a column beside": lambda t, o: residents.filter(room=F("organization"), **{t: "Paris"}),
    "slice": lambda t, o: residents.filter(pk__in=residents.filter(organization=o, **{t: "Paris"})),
    "impossible": lambda t, o: residents.filter(organization=o, pk__in=[], **{t: "Paris"}),
    "no such": lambda t, o: residents.filter(organization=o, **{t: "Nowhere"}),
}


@pytest.mark.parametrize("name", QUERIES)
def test_few_bits_answer_as_a_plain_column(orgs: list[Organization], name: str) -> None:
    """However a search is combined with other conditions, its rows are those of a plain column."""
    assert ids(QUERIES[name]("town", orgs[0])) == ids(QUERIES[name]("plain", orgs[0]))


@pytest.mark.parametrize("name", QUERIES)
def test_no_search_fails_for_a_withdrawn_key(orgs: list[Organization], name: str) -> None:
    """With one organization's key gone, every query still answers, and right for the others."""
    withdraw(orgs[1])
    Resident.objects.filter(organization=orgs[1]).update(plain="withdrawn")
    assert ids(QUERIES[name]("town", orgs[0])) == ids(QUERIES[name]("plain", orgs[0]))


def test_filter_and_exclude_make_up_the_whole(orgs: list[Organization]) -> None:
    """A candidate that cannot be opened equals nothing: filter() passes it over, exclude() keeps it."""
    withdrawn = set(Resident.objects.filter(organization=orgs[1], plain="Paris"))
    assert withdrawn
    withdraw(orgs[1])
    found, rest = set(Resident.objects.filter(town="Paris")), set(Resident.objects.exclude(town="Paris"))
    assert not found & withdrawn
    assert withdrawn <= rest
    assert found | rest == set(Resident.objects.all())
    assert not found & rest


def test_a_changed_cell_is_passed_over(orgs: list[Organization]) -> None:
    """One tampered cell does not stop the search for all others."""
    first, *others = Resident.objects.filter(town="Paris").order_by("pk")
    with connection.cursor() as cursor:
        cursor.execute("SELECT town FROM app_resident WHERE id = %s", [first.pk])
        cell = bytes(cursor.fetchone()[0])
        changed = connection.Database.Binary(cell[:-1] + bytes((cell[-1] ^ 1,)))
        cursor.execute("UPDATE app_resident SET town = %s WHERE id = %s", [changed, first.pk])
    assert list(Resident.objects.filter(town="Paris").order_by("pk")) == others


@pytest.fixture
def breakable(settings: Any, vault_emulator: RunningEmulator) -> RunningEmulator:
    """A vault that can be made to fail."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
        }
    }
    return vault_emulator


@pytest.mark.parametrize("search", [Resident.objects.filter, Resident.objects.exclude])
@pytest.mark.parametrize("status", [503, 401, 429])
def test_an_outage_is_no_answer(
    breakable: RunningEmulator, orgs: list[Organization], search: Any, status: int
) -> None:
    """While Vault cannot be asked, a search that has to open cells raises instead of finding nothing."""
    assert Resident.objects.filter(town="Paris").exists()
    vaults["default"].keyring.forget()
    fail_at_once(breakable, status)
    with pytest.raises(OUTAGES) as caught:
        list(search(town="Paris"))
    assert "Paris" not in our_locals(caught.value)


def test_one_organizations_key_fails(down: KeysDown, orgs: list[Organization]) -> None:
    """Vault fails with it and gives the others' keys: a fault stays where it is, as with a withdrawn key."""
    failing = set(Resident.objects.filter(organization=orgs[1], plain="Paris"))
    assert failing
    assert Resident.objects.filter(town="Paris").exists()
    vaults["default"].keyring.forget()
    assert Resident.objects.filter(organization=orgs[0], town="Nowhere").count() == 0  # the index's key
    down.organizations, down.patience = {"org_b"}, 3.0
    down.begin(others=2)
    found, rest = set(Resident.objects.filter(town="Paris")), set(Resident.objects.exclude(town="Paris"))
    assert found == set(Resident.objects.filter(plain="Paris").exclude(organization=orgs[1]))
    assert failing <= rest
    vaults["default"].keyring.forget()
    down.patience = 0.0
    with pytest.raises(OUTAGES):  # nobody else is asked for, so it may be an outage
        list(Resident.objects.filter(organization=orgs[1], town="Paris"))


NARROWED = [
    lambda o: residents.filter(organization=o, town="Paris"),
    lambda o: residents.filter(organization_id=o.pk).exclude(town="Paris"),
    lambda o: residents.filter(Q(room=1) | Q(town="Paris"), organization__in=[o]),
    lambda o: residents.filter(organization__in=Organization.objects.filter(pk=o.pk), town="Paris"),
    lambda o: Organization.objects.filter(resident__organization=o, resident__town="Paris"),
]


@pytest.mark.parametrize("build", NARROWED)
def test_only_candidates_of_the_query_are_opened(orgs: list[Organization], build: Any) -> None:
    """Rows that another condition rules out are not opened: nobody's key is asked for in vain."""
    assert {row.organization for row in Resident.objects.filter(plain="Paris")} == set(orgs)
    vaults.reset()
    list(build(orgs[0]))
    assert vaults["default"].stats().requests == 2  # for the key of the index, and that of the organization


def test_updates_and_deletes_find_the_same_rows(orgs: list[Organization]) -> None:
    """What is written or deleted by a search is what the search finds, with a key gone too."""
    mine = set(Resident.objects.filter(organization=orgs[0], plain="Paris").values_list("pk", flat=True))
    withdraw(orgs[1])
    search = Resident.objects.filter(organization=orgs[0], town="Paris")
    assert search.update(room=9) == len(mine)
    assert set(Resident.objects.filter(room=9).values_list("pk", flat=True)) == mine
    assert search.delete()[0] == len(mine)
    assert not Resident.objects.filter(pk__in=mine).exists()
    assert Resident.objects.filter(organization=orgs[1]).exists()


class TestTwoColumnsTogether:
    """An index over a readable column and one that is not."""

    @pytest.fixture
    def row(self, orgs: list[Organization]) -> Resident:
        Resident.objects.all().delete()
        row = Resident.objects.create(organization=orgs[1], town="Paris", street="Rue A")
        withdraw(orgs[1])
        return Resident.objects.get(pk=row.pk)

    def test_an_untouched_row_is_validated_by_its_digest(self, row: Resident) -> None:
        """Uniqueness needs no cell of a row that nobody changed."""
        row.validate_constraints()
        row.save()
        assert Resident.objects.filter(street__address=["Rue A", "Paris"]).exists()

    def test_the_readable_column_can_be_written(self, row: Resident) -> None:
        """What cannot be read counts as not known: the row saves, and no search for both finds it."""
        row.street = "Rue B"
        row.full_clean(exclude=["room", "plain"])
        row.save()
        row = Resident.objects.get(pk=row.pk)
        assert row.street == "Rue B"
        assert not Resident.objects.filter(street__address=["Rue B", "Paris"]).exists()
        with pytest.raises(VaultError):
            row.town  # noqa: B018

    def test_the_unreadable_column_is_kept(self, row: Resident) -> None:
        """Writing the one beside it leaves the unreadable cell as it is, for the day the key comes back."""
        before = stored_cell(row, "town")
        row.street = "Rue B"
        row.save()
        assert stored_cell(Resident.objects.get(pk=row.pk), "town") == before

    def test_an_index_that_cannot_follow_is_not_left_behind(self, orgs: list[Organization]) -> None:
        """Its digest stands in front of a cell that cannot be opened: writing the column beside it raises."""
        row = Resident.objects.create(organization=orgs[0], street="Rue A")
        vaults["default"].keyring.forget()
        vaults["default"].backend.revoke("app", "tests")  # type: ignore[attr-defined]
        row = Resident.objects.get(pk=row.pk)
        row.town = "Paris"
        with pytest.raises((EnvelopeError, VaultError)), transaction.atomic():
            row.save()
        assert Resident.objects.get(pk=row.pk).town is None

    def test_the_counts_of_an_index_go_on(self, row: Resident) -> None:
        """vault_index_plan counts what it can read."""
        Resident.objects.create(organization=Organization.objects.first(), town="Paris", street="Rue C")
        planner = Planner(Resident._meta.get_field("street"), "default")
        assert list(planner.batches()) == [2]
        assert [plan.rows for plan in planner.plans()] == [1]


def test_a_combination_with_null_is_not_found_by_the_word(orgs: list[Organization]) -> None:
    """NULL in one of two columns equals nothing, not the text None either."""
    Resident.objects.create(organization=orgs[0], town=None, street="x")
    assert not Resident.objects.filter(street__address=["x", "None"]).exists()
    assert not Resident.objects.filter(street__address=["x", None]).exists()
