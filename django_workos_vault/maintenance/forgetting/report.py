"""The report on a customer who is forgotten: for a person, and as one JSON document. No value is in it."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django_workos_vault.maintenance.forgetting.columns import Cells
from django_workos_vault.maintenance.forgetting.files import Files
from django_workos_vault.maintenance.forgetting.plan import Plan
from django_workos_vault.maintenance.forgetting.run import Forgetting

#: names of objects, and primary keys, that a line shows; JSON has them all
_SHOWN = 20


def document(plan: Plan, done: Forgetting | None) -> dict[str, Any]:
    """Return everything that is told, for JSON. ``done`` is None for a plan."""
    report: dict[str, Any] = {
        "key_context": plan.subject.context.items,
        "vaults": sorted(plan.subject.aliases),
        "planned": {
            "data_keys": [asdict(key) for key in plan.keys],
            "index_root_keys": [asdict(root) for root in plan.roots],
            "objects": [asdict(found) for found in plan.objects],
        },
        "stays": {
            "reasons": dict(_reasons(plan)),
            "index_root_keys": [asdict(root) for root in plan.kept_roots],
            "data_keys_in_doubt": [asdict(key) for key in plan.doubtful],
            "wider_key_contexts": plan.wider,
            "narrower_key_contexts": plan.narrower,
            "objects": [asdict(left) for left in plan.left_objects],
        },
        "similar_key_contexts": plan.similar,
        "columns": [_as_dict(each) for each in plan.cells],
        "files": [_as_dict(each) for each in plan.files],
        "memory_seconds": plan.memory.total_seconds(),
    }
    if done is not None:
        report["done"] = {
            "finished": done.finished,
            "stopped": None if done.stopped is None else str(done.stopped),
            "data_keys": [asdict(key) for key in done.keys],
            "objects": [asdict(found) for found in done.deleted],
            "objects_left": [asdict(left) for left in done.left],
            "destroyed_at": done.destroyed_at,
            "memories_end_at": _memories_end(plan, done),
        }
    return report


def text(plan: Plan, done: Forgetting | None) -> list[str]:
    """Return the lines of the same for a person."""
    lines = [f"Key context: {plan.subject}", f"Vaults: {', '.join(sorted(plan.subject.aliases))}", ""]
    if done is None:
        lines += ["To be destroyed:", *_indented(_to_destroy(plan))]
    else:
        lines += ["Destroyed:", *_indented(_destroyed(done))]
    stays = [f"{what}: {why}" for what, why in _reasons(plan)]
    return [*lines, "", "Stays:", *_indented(stays or ["nothing that is known of."])]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _to_destroy(plan: Plan) -> list[str]:
    lines = []
    if plan.keys:
        lines.append(f"{len(plan.keys)} wrapped data keys in the registry: {_listed(plan.keys, 'key_id')}")
        for each in _counted(plan):
            if each.destroyed:
                lines.append(
                    f"  {each.destroyed} of {each.column} refer to them: nobody can open these again"
                )
        for cells in plan.cells:
            if cells.destroyed_of_others:
                lines.append(
                    f"  {cells.destroyed_of_others} of them belong to rows of ANOTHER key context by now: "
                    f"{cells.column} {', '.join(cells.others)}. Re-encrypt these first"
                )
    if plan.roots:
        lines.append(f"{len(plan.roots)} root keys of blind indexes: no search of that vault finds anything")
    if plan.objects:
        lines.append(f"{len(plan.objects)} objects in Vault: {_listed(plan.objects, 'name')}")
    return lines or ["nothing: no key and no object of this context is left that is ours."]


def _destroyed(done: Forgetting) -> list[str]:
    lines = [
        f"{len(done.keys)} wrapped data keys in the registry: {_listed(done.keys, 'key_id')}",
        f"{len(done.plan.roots)} root keys of blind indexes",
        f"{len(done.deleted)} objects in Vault: {_listed(done.deleted, 'name')}",
    ]
    for left in done.left:
        lines.append(f"not deleted: object {left.id} of vault {left.vault}: {left.message}")
    return lines


def _reasons(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what stays, and why."""
    copies = {key for each in _counted(plan) for key in each.carries}
    carriers = ", ".join(each.column for each in _counted(plan) if each.carries)
    for each in _counted(plan):
        for what, why in (("inline", _INLINE), ("elsewhere", _ELSEWHERE), ("wider", _WIDER), ("gone", _GONE)):
            number = getattr(each, what)
            if number:
                yield f"{number} of {each.column}", why
        carried = sum(number for key, number in each.by_key.items() if key in copies)
        if carried:
            yield f"{carried} of {each.column}", _CARRIED.format(carriers)
    for cells in plan.cells:
        if cells.with_digests:
            yield f"{cells.with_digests} of {cells.column}, their digests", _DIGESTS
    for file in plan.files:
        if file.not_read:
            yield f"{file.not_read} of {file.column}", _NOT_READ
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
    yield "backups of the database", _BACKUPS
    yield "keys in other processes' memory", _memory(plan)
    yield "the rows themselves", _ROWS


def _as_dict(each: Cells | Files) -> dict[str, Any]:
    return {**asdict(each), "carries": sorted(each.carries)}


def _counted(plan: Plan) -> list[Cells | Files]:
    return [*plan.cells, *plan.files]


def _memory(plan: Plan) -> str:
    seconds = plan.memory.total_seconds()
    return (
        f"up to {seconds:g} seconds longer (cache_ttl and outage_grace), or until they are restarted. What "
        "they seal so long with a destroyed key cannot be read later; after that they make a new one: stop "
        "writing for this customer first, or run this again."
    )


def _memories_end(plan: Plan, done: Forgetting) -> datetime | None:
    return None if done.destroyed_at is None else plan.memories_end(done.destroyed_at)


def _listed(things: Any, attribute: str) -> str:
    names = [str(getattr(each, attribute)) for each in things[:_SHOWN]]
    more = len(things) - _SHOWN
    return (", ".join(names) or "none") + (f" and {more} more" if more > 0 else "")


def mistaken(plan: Plan) -> str:
    """Return why an empty plan is not what was meant: the context differs from another in case alone, or has
    items of which there is no context. Nothing where it may well be."""
    nothing = f"Nothing is kept under {plan.subject}"
    if plan.similar:
        return (
            f"{nothing}, but under {' and '.join(plan.similar)}, which is another key context: items are "
            "compared as they are, upper and lower case."
        )
    if plan.subject.names in plan.known_names:
        return ""
    known = "; ".join(sorted(" ".join(f"{name}=..." for name in sorted(names)) for names in plan.known_names))
    return f"{nothing}, and no field, vault or data key has a key context of such items. Known: {known}."


_INLINE = (
    "inline: each carries its own wrapped key, so Vault opens it for whoever has the API key, until the "
    "customer withdraws their key in Vault. Delete the rows, or set the column to NULL."
)
_CARRIED = (
    "refers to a data key whose wrapped copy is still carried by {}: whoever puts the two together opens it. "
    "Files always carry theirs. Delete these rows and files too."
)
_ELSEWHERE = (
    "sealed under another key context, with another one's key, or by a vault that was not named, though the "
    "row is of this one."
)
_NOT_READ = "the file is not there, cannot be read, or is none that was encrypted."
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
_BACKUPS = (
    "those from before have the wrapped keys, and can be opened as long as Vault unwraps them. Let them "
    "expire, or have the customer withdraw their key."
)
_ROWS = "this destroys keys. Plain columns, file names and references are as they were: delete the rows."
