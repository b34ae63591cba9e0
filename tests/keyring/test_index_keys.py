"""The keys of blind indexes, and the digests made with them."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from django_workos_vault import blind
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.blind import CaseFolded, Compound, Digits, Exact, FirstCharacters, LastCharacters
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import InvalidVaultConfiguration, WrongKey
from django_workos_vault.keyring.index_keys import IndexKeys
from django_workos_vault.keyring.records import RootKeyRecord

CONTEXT = KeyContext({"app": "tests"})


class Table:
    """A store in memory. ``faster`` is what another process stores first."""

    def __init__(self) -> None:
        self.rows: dict[int, RootKeyRecord] = {}
        self.faster: dict[int, RootKeyRecord] = {}

    def get(self, version: int) -> RootKeyRecord | None:
        return self.rows.get(version)

    def add(
        self, version: int, context: KeyContext, record: RootKeyRecord, proofs: Mapping[str, bytes]
    ) -> RootKeyRecord:
        self.rows.update(self.faster)
        return self.rows.setdefault(version, record)

    def when_committed(self, then: Callable[[], None]) -> None:
        then()

    def awaits_commit(self, then: Callable[[], None]) -> bool:
        return False


@pytest.fixture
def backend() -> Iterator[LocalVault]:
    backend = LocalVault(master_key=b"tests only: this is not a secret")
    yield backend
    backend.close()


def keys(
    backend: LocalVault, table: Table, vault: str = "default", now: list[float] | None = None
) -> IndexKeys:
    now = now or [0.0]
    return IndexKeys(
        vault=vault, backend=backend, store=table, context=CONTEXT, ttl=300, clock=lambda: now[0]
    )


def test_processes_share_a_root_key(backend: LocalVault) -> None:
    """Two processes derive the same key; another index, label or version has an unrelated one."""
    table = Table()
    first, second = keys(backend, table), keys(backend, table)
    info = Exact().info("app.Model.field")
    assert first.key(1, info) == second.key(1, info)
    others = [
        first.key(1, CaseFolded().info("app.Model.field")),
        first.key(1, Exact().info("app.Model.other")),
        first.key(2, Exact(version=2).info("app.Model.field")),
    ]
    assert len({first.key(1, info), *others}) == 4


def test_root_key_leaves_memory_when_its_time_is_up(backend: LocalVault) -> None:
    """It is kept no longer than ``cache_ttl``, then unwrapped again."""
    now = [0.0]
    ring = keys(backend, Table(), now=now)
    before = ring.key(1, b"info")
    assert backend.requests_made == 1
    now[0] = 299
    ring.key(1, b"info")
    assert backend.requests_made == 1
    now[0] = 301
    assert ring.key(1, b"info") == before
    assert backend.requests_made == 2


def test_loser_of_a_race_uses_the_winners_key(backend: LocalVault) -> None:
    """Of two processes that make the first root key, both go on with the one that was stored."""
    winners = Table()
    winner = keys(backend, winners).key(1, b"info")
    table = Table()
    table.faster = winners.rows
    assert keys(backend, table).key(1, b"info") == winner


def test_another_vaults_record_is_refused(backend: LocalVault) -> None:
    """Who can merely write the table cannot put another key in a root key's place."""
    table = Table()
    keys(backend, table).key(1, b"info")
    with pytest.raises(WrongKey):
        keys(backend, table, vault="other").key(1, b"info")
    table.rows[2] = table.rows[1]
    with pytest.raises(WrongKey):
        keys(backend, table).key(2, b"info")


def test_vault_without_a_context_says_so(backend: LocalVault) -> None:
    """The root key is wrapped under the vault's own context, so there has to be one."""
    ring = IndexKeys(vault="default", backend=backend, store=Table(), context=None, ttl=1)
    with pytest.raises(InvalidVaultConfiguration, match="KEY_CONTEXT"):
        ring.key(1, b"info")


def test_digest_is_hmac_sha256() -> None:
    """RFC 4231, test case 1; fewer bits are the first ones."""
    known = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    assert blind.digest(b"\x0b" * 20, b"Hi There").hex() == known
    assert blind.digest(b"\x0b" * 20, b"Hi There", 12).hex() == "b03" + "0" * 61


@pytest.mark.parametrize(
    ("kind", "one", "other", "equal"),
    [
        (CaseFolded(), "\uff21DA", "ada", False),
        (CaseFolded(), "\u01f0", "J\u030c", True),
        (Digits(), "(\u0665\u0665\u0665) 1", "555-1", True),
        (LastCharacters(), "123-45-6789", "999 6789", True),
        (LastCharacters(digits_only=True), "1 2 3 4 5", "2345", True),
        (FirstCharacters(), "90210", "902", True),
        (FirstCharacters(count=2), "90210", "902", True),
        (FirstCharacters(count=2), "90210", "912", False),
    ],
)
def test_kinds_say_what_is_equal(kind: blind.Kind, one: str, other: str, equal: bool) -> None:
    """Each kind by an example that a simpler rule would get wrong."""
    assert (kind.message(one, str.encode) == kind.message(other, str.encode)) == equal


def test_compound_keeps_its_parts_apart() -> None:
    """No two combinations make the same message."""
    kind = Compound(name="c", with_fields=("x",))
    assert kind.combined([b"a", b"bc"]) != kind.combined([b"ab", b"c"])
