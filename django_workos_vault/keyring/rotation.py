"""Which data key each context seals with now: the registry's newest, or the next one when that is used up."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.context import DeclaredContexts, KeyContext
from django_workos_vault.datakey import DataKey, LoadedKey
from django_workos_vault.exceptions import VaultError, VaultPermissionDenied, VaultUnavailable, WrongKey
from django_workos_vault.keyring.authenticity import Authenticity, loaded
from django_workos_vault.keyring.budget import Budget, Budgets
from django_workos_vault.keyring.cache import KeyCache
from django_workos_vault.keyring.flights import SingleFlight
from django_workos_vault.keyring.outcomes import Outcome
from django_workos_vault.keyring.policy import Counters
from django_workos_vault.keyring.records import KeyRecord, Registry
from django_workos_vault.keyring.unwrapping import Unwrapping

#: what seals: a key, and the right to seal with it
Ready = tuple[Budget, LoadedKey]


class Rotation:
    """The keys that one vault seals with, each made once however many threads and processes need it."""

    def __init__(
        self,
        *,
        vault: str,
        backend: VaultBackend,
        registry: Registry,
        declared: DeclaredContexts,
        cache: KeyCache,
        budgets: Budgets,
        unwrapping: Unwrapping,
        authenticity: Authenticity,
        counters: Counters,
    ) -> None:
        self._vault = vault
        self._backend = backend
        self._registry = registry
        self._declared = declared
        self._cache = cache
        self._budgets = budgets
        self._unwrapping = unwrapping
        self._authenticity = authenticity
        self._counters = counters
        self._never_unwraps: set[str] = set()
        self.flights: SingleFlight[str, Ready | Exception] = SingleFlight()

    def current(self, contexts: Iterable[KeyContext]) -> dict[str, Ready | Exception]:
        """Return what to seal with under each of ``contexts``, by its digest, or why there is nothing."""
        wanted = {context.digest: context for context in contexts}
        self._unwrapping.check_may_wait()
        if self._registry.joins_transaction():
            # Another thread's key might wait for the lock that this transaction holds: do not wait for it.
            return self._found_or_made(list(wanted.values()))
        return self.flights.outcomes(
            wanted,
            lambda mine: [self._found_or_made([wanted[digest] for digest in mine])],
            2 * self._backend.deadline,  # to unwrap, and to make
            self._late,
        )

    def next(self, context: KeyContext) -> Ready:
        """Make a new key for ``context``, whatever the age of the current one."""
        self._unwrapping.check_may_wait()
        self._declared.check(context)
        made = self._made([context], self._registry.current([context]), whatever_others_make=True)
        return ready_or_raise(made[context.digest])

    def since(self, contexts: Iterable[KeyContext], moment: datetime) -> dict[str, Ready | Exception]:
        """Return what to seal with under each of ``contexts``: a key made after ``moment``, by whomever.

        Where the registry has none, or has one that cannot be had, one is made.
        """
        self._unwrapping.check_may_wait()
        wanted = list(contexts)
        outcomes: dict[str, Ready | Exception] = {
            context.digest: fault for context in wanted if (fault := self._declared.fault(context))
        }
        declared = [context for context in wanted if context.digest not in outcomes]
        newest = self._registry.current(declared)
        young = {
            digest: record
            for digest, record in self._still_sealing(newest).items()
            if record.is_sound and record.created_at >= moment
        }
        keys = {d: key for d, key in self._keys_of(young).items() if isinstance(key, LoadedKey)}
        outcomes |= self._budgeted(declared, young, keys)
        missing = [context for context in declared if context.digest not in outcomes]
        return outcomes | (self._made(missing, newest) if missing else {})

    def forget(self) -> None:
        """Try again to unwrap what Vault denied."""
        self._never_unwraps.clear()

    def _found_or_made(self, contexts: list[KeyContext]) -> dict[str, Ready | Exception]:
        outcomes: dict[str, Ready | Exception] = {
            context.digest: fault for context in contexts if (fault := self._declared.fault(context))
        }
        declared = [context for context in contexts if context.digest not in outcomes]
        newest = self._registry.current(declared)
        keys = self._keys_of(self._still_sealing(newest))
        outcomes |= self._budgeted(declared, newest, keys)
        missing = [context for context in declared if context.digest not in outcomes]
        if missing:
            made = self._made(missing, newest)
            # Made without trouble where unwrapping is denied: this process may encrypt only.
            self._never_unwraps |= {
                digest
                for digest, outcome in made.items()
                if isinstance(keys.get(digest), VaultPermissionDenied) and not isinstance(outcome, Exception)
            }
            outcomes |= made
        return outcomes

    def _still_sealing(self, newest: Mapping[str, KeyRecord]) -> dict[str, KeyRecord]:
        return {digest: record for digest, record in newest.items() if self._budgets.may_seal(digest, record)}

    def _keys_of(self, records: Mapping[str, KeyRecord]) -> dict[str, Outcome]:
        """Return the key of each record, or why there is none; nothing for those never to be unwrapped."""
        keys: dict[str, Outcome] = {
            digest: self._authenticity.changed(record)
            for digest, record in records.items()
            if not record.is_sound
        }
        wanted = {
            digest: (record.commitment, record.wrapped)
            for digest, record in records.items()
            if digest not in keys
            and (digest not in self._never_unwraps or self._cache.fresh(record.commitment))
        }
        unwrapped = self._unwrapping.keys(wanted.values())
        return keys | {
            digest: self._checked(digest, records[digest], unwrapped[question])
            for digest, question in wanted.items()
        }

    def _checked(self, digest: str, record: KeyRecord, key: Outcome) -> Outcome:
        if isinstance(key, VaultError):
            return key
        if isinstance(key, WrongKey) or not self._authenticity.holds(record, digest, key):
            return self._authenticity.changed(record)
        if key.is_proven(
            record.wrapped
        ):  # new cells carry what the registry says, once it was seen to unwrap
            key.carry(record.wrapped)
            key.prove(b"")
        return key

    def _budgeted(
        self, contexts: Iterable[KeyContext], records: Mapping[str, KeyRecord], keys: Mapping[str, Outcome]
    ) -> dict[str, Ready | Exception]:
        """Return each key with its budget, and the failures that making another key would not mend."""
        outcomes: dict[str, Ready | Exception] = {
            digest: key
            for digest, key in keys.items()
            if isinstance(key, Exception) and not isinstance(key, VaultPermissionDenied)
        }
        held = {digest: key for digest, key in keys.items() if isinstance(key, LoadedKey)}
        budgets = self._budgets.open({c: records[c.digest] for c in contexts if c.digest in held})
        for digest, budget in budgets.items():
            budget.wrapped = held[digest].wrapped
            outcomes[digest] = budget, held[digest]
        return outcomes

    def _made(
        self,
        contexts: list[KeyContext],
        newest: Mapping[str, KeyRecord],
        *,
        whatever_others_make: bool = False,
    ) -> dict[str, Ready | Exception]:
        """Make a key for each context, as the successor of the newest; the loser of a race uses the winner's.

        With ``whatever_others_make`` the loser becomes the winner's successor instead.
        """
        outcomes: dict[str, Ready | Exception] = {}
        mine: dict[KeyContext, LoadedKey] = {}
        answers = self._backend.create_data_keys([context.items for context in contexts])
        for context, answer in zip(contexts, answers, strict=True):
            made = self._kept(answer)
            if isinstance(made, LoadedKey):
                mine[context] = made
            else:
                outcomes[context.digest] = made
        while mine:
            added = self._budgets.add(
                {c: self._authenticity.successor(key, c, newest.get(c.digest)) for c, key in mine.items()}
            )
            newest = {digest: answer for digest, answer in added.items() if isinstance(answer, KeyRecord)}
            for context, key in mine.items():
                filed = added[context.digest]
                if isinstance(filed, Budget):
                    key.prove(b"")
                    outcomes[context.digest] = filed, key
                elif isinstance(filed, Exception):
                    outcomes[context.digest] = filed
            if not whatever_others_make:
                keys = self._keys_of(self._still_sealing(newest))
                theirs: dict[str, Outcome] = {d: key for d, key in keys.items() if isinstance(key, LoadedKey)}
                outcomes |= self._budgeted(mine, newest, theirs)
            mine = {context: key for context, key in mine.items() if context.digest not in outcomes}
        return outcomes

    def _kept(self, answer: DataKey | VaultError) -> LoadedKey | VaultError:
        key = loaded(answer)
        if isinstance(key, VaultError):
            return key
        self._counters.created += 1
        self._cache.put(key)
        return key

    def _late(self) -> VaultUnavailable:
        return VaultUnavailable(
            f"Another thread has been fetching a data key of vault {self._vault!r} for "
            f"{2 * self._backend.deadline:g} seconds."
        )


def ready_or_raise(outcome: Ready | Exception) -> Ready:
    """Return what to seal with, or raise why there is nothing."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
