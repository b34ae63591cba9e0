"""What stays readable of a customer who is forgotten, and why; and what does not, though it is another's."""

from collections.abc import Iterator

from django_workos_vault.maintenance.forgetting.columns import Cells
from django_workos_vault.maintenance.forgetting.counts import Counts
from django_workos_vault.maintenance.forgetting.plan import Plan


def by_what(plan: Plan) -> dict[str, str]:
    """Return the reasons by what stays. Two kinds of one column that are as many are one entry."""
    told: dict[str, str] = {}
    for what, why in reasons(plan):
        told[what] = f"{told[what]} And as many others: {why}" if what in told else why
    return told


def reasons(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what stays, and why."""
    copies = _copies(plan)
    carriers = ", ".join(each.column for each in _counted(plan) if each.carries)
    for each in _counted(plan):
        kinds = (
            (each.inline - each.inline_of_others, _INLINE),
            (each.inline_of_others, _OF_OTHERS.format(_first(each.inline_others, each.inline_of_others))),
            (each.elsewhere, _ELSEWHERE),
            (each.wider, _WIDER),
            (each.gone, _GONE),
            (_carried(each, copies), _CARRIED.format(carriers)),
        )
        for number, why in kinds:
            if number:
                yield f"{number} of {each.column}", why
    for cells in plan.cells:
        if cells.with_digests:
            yield f"{cells.with_digests} of {cells.column}, their digests", _DIGESTS
    for each in _counted(plan):
        errors = by_number(each.unread)
        if each.not_read:
            why = _NO_CELL if isinstance(each, Cells) else _NOT_READ
            yield f"{each.not_read} of {each.column}", why.format(errors)
        if each.not_read_of_others:
            yield f"{each.not_read_of_others} of {each.column}", _NOT_READ_OF_OTHERS.format(errors)
    for context, keys in sorted(plan.wider.items()):
        yield f"{keys} data keys of {context}", _WIDER
    for context, keys in sorted(plan.narrower.items()):
        yield f"{keys} data keys of {context}", _NARROWER
    for root in plan.kept_roots:
        yield f"index root key {root.version} of vault {root.vault}", _ROOT
    for key in plan.doubtful:
        yield f"data key {key.key_id} of vault {key.vault}", _DOUBTFUL
    for left in plan.left_objects:
        yield (
            f"object {left.id} of vault {left.vault}" if left.id else f"objects of {left.vault}",
            left.message,
        )
    if len(plan.subject.context.items) > 1:
        yield "every inline cell and backup", _EACH_ITEM
    yield "what no row has", _UNKNOWN
    yield "backups of the database", _BACKUPS
    yield "keys in other processes' memory", _memory(plan)
    yield "the rows themselves", _ROWS


def by_number(errors: dict[str, int]) -> str:
    """Return the classes of errors, each with how many there are of it."""
    return ", ".join(f"{number} {name}" for name, number in sorted(errors.items()))


def unreadable(plan: Plan, advice: str) -> Iterator[str]:
    """Yield what refers to the keys of the plan, that of other customers by name."""
    copies = _copies(plan)
    for each in _counted(plan):
        if each.destroyed:
            carried = _carried(each, copies)
            but = f", but for {carried} whose key is carried elsewhere, see below" if carried else ""
            yield f"  {each.destroyed} of {each.column} refer to them: nobody can open these again{but}"
        if each.destroyed_of_others:
            yield (
                f"  {each.destroyed_of_others} of them belong to rows of ANOTHER key context by now: "
                f"{each.column} {_first(each.others, each.destroyed_of_others)}. {advice}"
            )


def _counted(plan: Plan) -> list[Counts]:
    return [*plan.cells, *plan.files]


def _copies(plan: Plan) -> set[str]:
    return {key for each in _counted(plan) for key in each.carries}


def _carried(each: Counts, copies: set[str]) -> int:
    return sum(number for key, number in each.by_key.items() if key in copies)


def _first(named: list[str], number: int) -> str:
    more = number - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def _memory(plan: Plan) -> str:
    seconds = plan.memory.total_seconds()
    return (
        f"up to {seconds:g} seconds longer (cache_ttl and outage_grace), or until they are restarted. What "
        "they seal so long with a destroyed key cannot be read later; after that they make a new one: stop "
        "writing for this customer first, or run this again."
    )


_INLINE = (
    "inline: each carries its own wrapped key, so Vault opens it for whoever has the API key, until the "
    "customer withdraws their key in Vault. Delete the rows and files, or set the column to NULL."
)
_CARRIED = (
    "refers to a data key whose wrapped copy is still carried by {}: whoever puts the two together opens it. "
    "Files always carry theirs. Delete these rows and files too."
)
_ELSEWHERE = (
    "sealed under another key context, with another one's key, or by a vault that was not named, though the "
    "row is of this one."
)
_OF_OTHERS = (
    "inline, in rows of ANOTHER key context by now: {}. Each carries a key of this one. Re-encrypt these, or "
    "they are lost once the customer withdraws their key in Vault."
)
_NO_CELL = "is no cell that this release reads ({}): vault_check tells of it."
_NOT_READ = (
    "the file is not there, cannot be read, or is none that was encrypted ({}): what opens it is not known. "
    "Where a storage failed, look again when it answers."
)
_NOT_READ_OF_OTHERS = (
    "in rows of another key context, the same ({}): whether they carry a key of this one is not known, and "
    "cannot be told once that is destroyed. Where a storage failed, wait for it."
)
_WIDER = "the key context has other items besides, and is another one: name all of its items to forget it."
_NARROWER = "the key context has only some of these items, and is another one: it is forgotten by itself."
_GONE = "refers to a data key that is not on record: destroyed before, and nobody can open it."
_DIGESTS = (
    "blind indexes still find them: whoever knows the index key can tell whether a guessed value is there. "
    "Delete the rows, or set the column to NULL."
)
_ROOT = "searches of other key contexts need it; it opens no cell."
_DOUBTFUL = "it is filed under this key context and names another one: see vault_check. It was left alone."
_EACH_ITEM = "each item of a key context is a key of its own in Vault, and any of them opens what it wrapped."
_UNKNOWN = (
    "files that were replaced or whose row was deleted, those of an EncryptedStorage in other fields, "
    "and what your code sealed with encrypt() carry their wrapped keys, and were not looked for."
)
_BACKUPS = (
    "those from before have the wrapped keys, and can be opened as long as Vault unwraps them. Let them "
    "expire, or have the customer withdraw their key."
)
_ROWS = "this destroys keys. Plain columns, file names and references are as they were: delete the rows."
