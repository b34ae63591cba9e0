"""Which cells or files nobody can open once a customer's keys are destroyed, and which stay readable."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.envelope import Envelope
from django_workos_vault.maintenance.forgetting.subject import Subject
from django_workos_vault.registry.destruction import contexts_by_commitment
from django_workos_vault.streams.header import FileHeader

_NAMED = 20


@dataclass(slots=True)
class Counts:
    """The cells of one column, or the files of one field.

    ``by_key`` counts the ``destroyed`` ones by the commitment of their key. ``carries`` are commitments of
    such keys that inline ones here have with them. Those ``of_others`` were sealed with the keys, and stand
    in rows of another key context. ``not_read`` could not be looked at, ``unread`` counts them by the class
    of the error, and ``not_given`` those of them that may be there: their storage did not give them.
    """

    column: str
    database: str
    destroyed: int = 0
    destroyed_of_others: int = 0
    gone: int = 0
    inline: int = 0
    inline_of_others: int = 0
    elsewhere: int = 0
    wider: int = 0
    not_read: int = 0
    not_read_of_others: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    not_given: dict[str, int] = field(default_factory=dict)
    by_key: dict[str, int] = field(default_factory=dict)
    carries: set[str] = field(default_factory=set)
    #: primary keys of the rows of ``destroyed_of_others``, a few of them
    others: list[str] = field(default_factory=list)
    #: and of ``inline_of_others``
    inline_others: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether there is anything to tell."""
        return any((self.destroyed, self.gone, self.inline, self.elsewhere, self.wider, self.unread))

    def count_unread(self, error: str, *, is_mine: bool) -> None:
        """Count one that could not be looked at because of ``error``."""
        self.unread[error] = self.unread.get(error, 0) + 1
        self.not_read += is_mine
        self.not_read_of_others += not is_mine


class Counting:
    """Counts what was sealed, by what its key and its row's key context say. Nothing is opened."""

    def __init__(self, subject: Subject, keys: Collection[str]) -> None:
        self._subject, self._keys = subject, keys
        self._in_question: list[tuple[Counts, Envelope | FileHeader]] = []

    def count(
        self,
        counts: Counts,
        sealed: Envelope | FileHeader,
        row: Model,
        context: KeyContext | None,
        *,
        is_mine: bool,
    ) -> None:
        """Count one. ``context`` is what the row seals it under now, ``is_mine`` says of any in the row."""
        is_own = context == self._subject.context
        commitment = sealed.commitment.hex()
        if commitment in self._keys and sealed.key_reference:
            counts.inline += 1
            counts.carries.add(commitment)
            if not is_own:
                counts.inline_of_others += 1
                _name(counts.inline_others, row)
        elif commitment in self._keys:
            counts.destroyed += 1
            counts.by_key[commitment] = counts.by_key.get(commitment, 0) + 1
            if not is_own:
                counts.destroyed_of_others += 1
                _name(counts.others, row)
        elif is_own:
            self._in_question.append((counts, sealed))
        elif self._subject.is_wider(context):
            counts.wider += 1
        elif is_mine:
            counts.elsewhere += 1

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Look the other keys of the customer's rows up at the end, all at once."""
        self._in_question.clear()
        yield
        known = contexts_by_commitment({sealed.commitment.hex() for _, sealed in self._in_question})
        for counts, sealed in self._in_question:
            digest = known.get(sealed.commitment.hex())
            if sealed.key_reference and digest in (None, self._subject.context.digest):
                counts.inline += 1
            elif digest is not None:
                counts.elsewhere += 1
            else:
                counts.gone += 1


def _name(named: list[str], row: Model) -> None:
    if len(named) < _NAMED:
        named.append(str(row.pk))
