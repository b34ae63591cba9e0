"""Equality search over encrypted columns: blind indexes in queries."""

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import FieldError
from django.db import connection, connections, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value

from django_workos_vault import envelope, vaults
from django_workos_vault.emulator import RunningEmulator
from django_workos_vault.indexes import BlindIndex
from django_workos_vault.models import IndexKeyRecord
from tests.app.models import Account, Organization, Session

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Account:
    Account.objects.create(email="grace@navy.example", login="Grace", ssn="987-65-4321", phone="555 0000")
    return Account.objects.create(
        email="Ada@Example.com", login="Ada", ssn="123-45-6789", phone="+1 (555) 123-4567"
    )


def cell(row: Any, column: str) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {row._meta.db_table} WHERE id = %s", [row.pk])
        return bytes(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        ("login", "Ada"),
        ("login__exact", "Ada"),
        ("login__iexact", "aDA"),
        ("login__folded", "ADA"),
        ("login__in", ["nobody", "Ada"]),
        ("email", "ada@EXAMPLE.com"),
        ("email__in", ["ADA@example.com"]),
        ("phone", "1 555 1234567"),
        ("phone__digits", "15551234567"),
        ("ssn", "123-45-6789"),
        ("ssn__last4", "6789"),
        ("ssn__first3", "123"),
    ],
)
def test_each_index_finds_its_row(ada: Account, lookup: str, value: Any) -> None:
    """A lookup finds the row whose value is equal in the sense of its index, and no other."""
    assert Account.objects.get(**{lookup: value}) == ada
    assert ada not in Account.objects.exclude(**{lookup: value})
    assert Account.objects.filter(~Q(**{lookup: value})).count() == 1


@pytest.mark.parametrize(
    ("lookup", "value"),
    [
        ("login", "ada"),
        ("login__iexact", "Ad"),
        ("login__in", []),
        ("email", ""),
        ("phone", "5551234567"),
        ("ssn", "123456789"),
        ("ssn__last4", "16789"),
        ("ssn__last4", "789"),
        ("ssn__first3", "12"),
    ],
)
def test_unequal_values_are_not_found(ada: Account, lookup: str, value: Any) -> None:
    """What is not equal in the sense of the index is not found."""
    assert not Account.objects.filter(**{lookup: value}).exists()
    assert Account.objects.exclude(**{lookup: value}).count() == 2


@pytest.mark.parametrize("typed", ["STRASSE", "straße", "Strasse"])
def test_case_folding_follows_unicode(typed: str) -> None:
    """Folding is Unicode's, not ASCII's, and composed and decomposed letters are the same."""
    Account.objects.create(login="Straße")
    assert Account.objects.filter(login__iexact=typed).exists()
    Account.objects.create(login="Zo\u00e9")
    assert Account.objects.filter(login__iexact="ZOE\u0301").exists()


def test_null_is_found_as_null(ada: Account) -> None:
    """None is NULL in lookups and in exclude, as Django has it."""
    without = Account.objects.create(login=None)
    assert list(Account.objects.filter(login=None)) == [without]
    assert Account.objects.exclude(login=None).count() == 2
    assert without in Account.objects.exclude(login="Ada")
    assert Account.objects.filter(login__in=[None, "Ada"]).get() == ada


def test_thousands_of_values_in_one_query(ada: Account) -> None:
    """``__in`` takes thousands of values."""
    values = [f"user {number}" for number in range(5000)]
    assert Account.objects.get(login__in=[*values, "Ada"]) == ada


def test_get_or_create_and_update_or_create(ada: Account) -> None:
    """Both find the row instead of making a second one."""
    assert Account.objects.get_or_create(email="ADA@example.com") == (ada, False)
    found, made = Account.objects.update_or_create(email="ada@example.com", defaults={"login": "Countess"})
    assert (found.pk, made) == (ada.pk, False)
    assert Account.objects.get(login="Countess") == ada
    assert not Account.objects.filter(login="Ada").exists()
    _, made = Account.objects.get_or_create(email="new@example.com")
    assert made
    assert Account.objects.filter(email="new@example.com").count() == 1


def test_joins_subqueries_and_exists(ada: Account) -> None:
    """Lookups work across relations and inside subqueries."""
    session = Session.objects.create(account=ada)
    Session.objects.create(account=Account.objects.get(login="Grace"))
    assert Session.objects.get(account__email="ada@example.com") == session
    assert Session.objects.get(account__in=Account.objects.filter(login="Ada")) == session
    assert (
        Account.objects.get(Exists(Session.objects.filter(account=OuterRef("pk"), account__login="Ada")))
        == ada
    )
    assert Account.objects.filter(Q(login="Ada") | Q(ssn__last4="4321")).count() == 2
    assert Account.objects.aggregate(n=Count("pk", filter=Q(login="Ada"))) == {"n": 1}
    Account.objects.filter(login="Ada").update(closed=True)
    ada.refresh_from_db()
    assert ada.closed
    Account.objects.filter(login="Grace").delete()
    assert list(Account.objects.all()) == [ada]


def test_against_another_rows_value(ada: Account) -> None:
    """Digests of the same index are compared without a plaintext: F, OuterRef, subqueries."""
    twin = Account.objects.create(login="Ada", email="other@example.com")
    Account.objects.create(login=None)
    twins = Account.objects.filter(login=OuterRef("login")).exclude(pk=OuterRef("pk"))
    assert set(Account.objects.filter(Exists(twins))) == {ada, twin}
    assert set(Account.objects.filter(login__in=Account.objects.filter(pk=ada.pk).values("login"))) == {
        ada,
        twin,
    }
    assert set(Account.objects.filter(login__in=Account.objects.filter(pk=ada.pk).values(x=F("login")))) == {
        ada,
        twin,
    }
    one = Subquery(Account.objects.filter(pk=ada.pk).values("login")[:1])
    assert set(Account.objects.filter(login=one)) == {ada, twin}
    assert Account.objects.filter(login=F("login")).count() == 3
    assert Session.objects.filter(account__login=F("account__login")).count() == 0
    assert Account.objects.get(login=Value("Ada"), email="ada@example.com") == ada


@pytest.mark.parametrize(
    "build",
    [
        lambda: Account.objects.filter(login=F("email")),
        lambda: Account.objects.filter(login=F("id")),
        lambda: Account.objects.filter(login__in=Account.objects.all()),
        lambda: Account.objects.filter(login__in=Account.objects.values("email")),
        lambda: Account.objects.filter(login__in=["Ada", F("login")]),
        lambda: Account.objects.filter(city=F("city")),
    ],
)
def test_columns_with_other_digests_are_not_compared(build: Callable[[], QuerySet[Account]]) -> None:
    """Digests of two indexes are unrelated: comparing them would silently find nothing."""
    with pytest.raises(FieldError, match=r"Compare|compare|takes values"):
        list(build())


def test_cells_without_a_digest_never_look_equal(ada: Account) -> None:
    """Rows sealed before the index was declared are not taken for equal: their envelopes begin alike."""
    field = Account._meta.get_field("login")
    for _ in range(2):
        row = Account.objects.create(login="x")
        bare = field.cipher.seal(b"x", field.context_for(None))
        with connection.cursor() as cursor:
            cursor.execute("UPDATE app_account SET login = %s WHERE id = %s", [bare, row.pk])
    twins = Account.objects.filter(login=OuterRef("login")).exclude(pk=OuterRef("pk"))
    assert not Account.objects.filter(Exists(twins)).exists()
    assert not Account.objects.filter(login="x").exists()
    assert Account.objects.last().login == "x"


def test_every_write_stores_the_digest(ada: Account) -> None:
    """update(), bulk_create(), bulk_update() and fixtures cannot leave a digest behind."""
    Account.objects.filter(pk=ada.pk).update(login="updated")
    assert Account.objects.get(login="updated") == ada
    ada.login = "in bulk"
    Account.objects.bulk_update([ada], ["login"])
    assert Account.objects.get(login="in bulk") == ada
    assert not Account.objects.filter(login__in=["updated", "Ada"]).exists()
    Account.objects.bulk_create([Account(login="many")])
    assert Account.objects.filter(login="many").count() == 1


def test_same_plaintext_in_two_columns_or_indexes_has_unrelated_digests() -> None:
    """Nobody can join two columns, or two indexes of one, over their digests."""
    account = Account.objects.create(login="same", ssn="same", email="same")
    digests = []
    for column in ("login", "ssn", "email"):
        front = envelope.parse(cell(account, column)).digests
        digests += [front[at : at + 32] for at in range(0, len(front), 32)]
    assert len(digests) == 2 + 4 + 1
    assert len(set(digests)) == len(digests)


def test_truncated_index_collides_and_results_stay_exact() -> None:
    """With 4 bits many cities share a digest; only the one asked for is found."""
    Account.objects.bulk_create([Account(city=f"city {number}") for number in range(60)])
    distinct = Account.objects.values(d=BlindIndex("city")).annotate(n=Count("*")).order_by()
    assert len(distinct) <= 16
    assert Account.objects.get(city="city 7").city == "city 7"
    assert {a.city for a in Account.objects.filter(city__in=["city 7", "city 8"])} == {"city 7", "city 8"}
    assert Account.objects.exclude(city="city 7").count() == 59
    assert not Account.objects.filter(city="city 99").exists()
    assert Account.objects.filter(city="city 7").update(closed=True) == 1


def queries_of(queryset: QuerySet[Any]) -> str:
    return str(queryset.query)


def test_no_plaintext_in_sql_parameters_or_errors(ada: Account, django_assert_num_queries: Any) -> None:
    """Neither the SQL nor what is logged of it holds what was searched for."""
    with django_assert_num_queries(3) as log:  # candidates for str(), for the query, and the query
        queryset = Account.objects.filter(
            Q(login="Ada Secret") | Q(city="Ada Secret"), email__in=["Ada Secret"], ssn__last4="Ada Secret"
        )
        assert "Secret" not in str(queryset.query)
        assert "Secret" not in repr(queryset.query.where)
        assert not queryset.exists()
    assert "Secret" not in str(log.captured_queries)
    assert b"Secret" not in pickle.dumps(Account.objects.filter(login="Ada Secret").query)


def test_pickled_queryset_still_finds_its_row(ada: Account) -> None:
    """A queryset that went through a cache holds digests and works."""
    queryset = Account.objects.all()
    queryset.query = pickle.loads(pickle.dumps(Account.objects.filter(login="Ada").query))
    assert list(queryset) == [ada]


def test_building_a_query_needs_neither_vault_nor_database(
    ada: Account, django_assert_num_queries: Any
) -> None:
    """A queryset may be built anywhere, at import time too; only running it needs the key."""
    vaults.reset()
    with django_assert_num_queries(0):
        Account.objects.filter(login="Ada", email__in=["x"]).exclude(ssn__last4="1")
    assert vaults["default"].backend.requests_made == 0


def test_async_code_searches_too(ada: Account) -> None:
    """Async querysets find rows; the key is fetched off the event loop."""
    vaults.reset()

    async def search() -> Account:
        return await Account.objects.filter(login__iexact="ADA").aget()

    assert async_to_sync(search)() == ada


@pytest.mark.django_db(transaction=True)
async def test_cold_search_does_not_block_the_loop(settings: Any, vault_emulator: RunningEmulator) -> None:
    """While Vault unwraps the key of an index, other tasks run."""
    settings.WORKOS_VAULTS = {
        "default": {
            "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
            "KEY_CONTEXT": {"app": "tests"},
            "OPTIONS": {"api_key": vault_emulator.api_key, "base_url": vault_emulator.url},
        }
    }
    ada = await Account.objects.acreate(login="Ada")
    vaults.reset()
    vault_emulator.faults.latency = 0.5
    search = asyncio.ensure_future(Account.objects.filter(login="Ada").afirst())
    turns = 0
    while not search.done():
        turns += 1
        await asyncio.sleep(0.005)
    assert search.result() == ada
    assert vaults["default"].stats().requests == 1
    assert turns > 2
    await sync_to_async(connections.close_all)()


def test_one_request_serves_all_lookups(ada: Account) -> None:
    """A fresh process unwraps the root key once, whatever the number of indexes and lookups."""
    vaults.reset()
    for _ in range(3):
        assert Account.objects.filter(login="Ada", email="ada@example.com", ssn__last4="6789").exists()
    assert vaults["default"].backend.requests_made == 1


def test_root_key_of_a_rolled_back_transaction_is_not_lost() -> None:
    """A root key made in a transaction that rolls back is stored by whoever uses it next."""
    with transaction.atomic():
        Account.objects.create(login="gone")
        transaction.set_rollback(True)
    assert not IndexKeyRecord.objects.exists()
    kept = Account.objects.create(login="kept")
    assert IndexKeyRecord.objects.count() == 1
    vaults.reset()
    assert Account.objects.get(login="kept") == kept


def test_losing_data_keys_does_not_touch_digests(ada: Account) -> None:
    """Lookups go on after the data key was rotated."""
    before = cell(ada, "login")[:65]
    vaults["default"].keyring.retire(vaults["default"].key_context)
    ada.login = "Ada"
    ada.save()
    after = cell(ada, "login")
    assert after[:65] == before
    assert Account.objects.get(login="Ada") == ada


@pytest.mark.parametrize("lookup", ["contains", "gt", "startswith", "regex", "last4", "unknown"])
def test_other_lookups_say_what_works(lookup: str) -> None:
    """A lookup that no index answers names those that are answered, and never the value."""
    with pytest.raises(FieldError, match="exact, folded, iexact, in") as caught:
        Account.objects.filter(**{f"login__{lookup}": "Secret"})
    assert "Secret" not in str(caught.value)


def test_organization_narrows_a_search(ada: Account) -> None:
    """An encrypted lookup combines with plain ones."""
    organization = Organization.objects.create(name="o")
    mine = Account.objects.create(login="Ada", organization=organization)
    assert Account.objects.get(login="Ada", organization=organization) == mine


def explain(queryset: QuerySet[Any]) -> str:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return queryset.explain()


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no expression indexes")
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: Account.objects.filter(login="Ada"), "account_login"),
        (lambda: Account.objects.filter(login__in=["Ada", "Grace"]), "account_login"),
        (lambda: Account.objects.filter(login__iexact="Ada"), "account_login_folded"),
        (lambda: Account.objects.filter(email="ada@example.com"), "account_email"),
        (lambda: Session.objects.filter(account__email="ada@example.com"), "account_email"),
        (lambda: Account.objects.filter(ssn="123-45-6789"), "account_ssn"),
    ],
)
def test_the_database_uses_the_index(ada: Account, query: Callable[[], QuerySet[Any]], index: str) -> None:
    """EXPLAIN names the index on SQLite and PostgreSQL."""
    assert f"{index} " in explain(query()).replace("\n", " ").replace("(", " ").replace(")", " ")
