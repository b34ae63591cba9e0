"""The report on a customer who is forgotten: for a person, and as one JSON document. No value is in it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django_workos_vault.maintenance.forgetting import stays
from django_workos_vault.maintenance.forgetting.counts import Counts
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
            "reasons": stays.by_what(plan),
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
            "index_root_keys": [asdict(root) for root in done.roots],
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
    told = [f"{what}: {why}" for what, why in stays.reasons(plan)]
    return [*lines, "", "Stays:", *_indented(told)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _to_destroy(plan: Plan) -> list[str]:
    lines = []
    if plan.keys:
        lines.append(f"{len(plan.keys)} wrapped data keys in the registry: {_listed(plan.keys, 'key_id')}")
        lines += stays.unreadable(plan, "Re-encrypt these first")
    if plan.roots:
        lines.append(f"{len(plan.roots)} root keys of blind indexes: no search of that vault finds anything")
    if plan.objects:
        lines.append(f"{len(plan.objects)} objects in Vault: {_listed(plan.objects, 'name')}")
    return lines or ["nothing: no key and no object of this context is left that is ours."]


def _destroyed(done: Forgetting) -> list[str]:
    lines = [
        f"{len(done.keys)} wrapped data keys in the registry: {_listed(done.keys, 'key_id')}",
        *(stays.unreadable(done.plan, "They were lost to these") if done.keys else ()),
        f"{len(done.roots)} root keys of blind indexes",
        f"{len(done.deleted)} objects in Vault: {_listed(done.deleted, 'name')}",
    ]
    for left in done.left:
        lines.append(f"not deleted: object {left.id} of vault {left.vault}: {left.message}")
    return lines


def _as_dict(each: Counts) -> dict[str, Any]:
    return {**asdict(each), "carries": sorted(each.carries)}


def _memories_end(plan: Plan, done: Forgetting) -> datetime | None:
    return None if done.destroyed_at is None else plan.memories_end(done.destroyed_at)


def _listed(things: Any, attribute: str) -> str:
    names = [str(getattr(each, attribute)) for each in things[:_SHOWN]]
    more = len(things) - _SHOWN
    return (", ".join(names) or "none") + (f" and {more} more" if more > 0 else "")


def unread(plan: Plan) -> str:
    """Return why keys are not to be destroyed yet: files were not given. Nothing where all were."""
    away = [each for each in plan.files if each.not_given]
    if not (away and plan.keys):
        return ""
    told = ", ".join(
        f"{sum(each.not_given.values())} of {each.column} ({stays.by_number(each.not_given)})"
        for each in away
    )
    return (
        f"A storage did not give files: {told}. Which of them carry a key of this key context cannot be told "
        "once that is destroyed. Wait for the storage, or add --despite-unread-files."
    )


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
