"""What the command tells of a plan: a table of states for each column, and what the run would cost."""

from dataclasses import asdict
from typing import Any

from django_workos_vault.maintenance.engine.plan import ColumnPlan, FilePlan, Plan
from django_workos_vault.management.output import table


def text(plan: Plan) -> list[str]:
    """Return the lines that tell of a plan."""
    headings = ["column", "rows", "looked at", "null", "to renew", "unreadable"]
    rows = [[c.column, c.rows, c.looked_at, c.null, c.renewed, len(c.unreadable)] for c in plan.columns]
    lines = table(headings, rows)
    for column in plan.columns:
        lines += _states(column)
    how = "Sampled, the oldest and the newest rows: at least" if plan.is_sample else "Counted:"
    lines.append(
        f"{how} {plan.keys} distinct data keys, {plan.contexts} key contexts, {plan.requests} requests to "
        f"Vault, {plan.minutes:.1f} minutes at its rate limit."
    )
    free = "" if plan.disk_free is None else f", of {_size(plan.disk_free)} free"
    if isinstance(plan, FilePlan):
        lines.append(
            f"Bytes to write: about {_size(plan.rewritten)}. "
            f"Room beside the old files: {_size(plan.disk)}{free}."
        )
        lines.append("Headers alone were read: what is wrong behind one, --dry-run finds.")
        lines += [
            f"Not encrypted: {number}. manage.py vault_encrypt_files {column.column} seals them."
            for column in plan.columns
            if (number := column.states.get("file", {}).get("not encrypted", 0))
        ]
    else:
        lines.append(f"Disk for the rewrite, until the database cleans up: about {_size(plan.disk)}{free}.")
    return lines


def lacking(plan: Plan) -> str:
    """Return why a run could not finish, or nothing."""
    if plan.disk_free is None or plan.disk <= plan.disk_free:
        return ""
    return f"The disk has {_size(plan.disk_free)} free, and the rewrite may need {_size(plan.disk)}."


def document(plan: Plan) -> dict[str, Any]:
    """Return a plan for JSON."""
    return {**asdict(plan), "minutes": plan.minutes}


def _states(column: ColumnPlan) -> list[str]:
    told = [
        f"{respect}: " + ", ".join(f"{state} {number}" for state, number in sorted(counts.items()))
        for respect, counts in sorted(column.states.items())
    ]
    return [f"{column.column}:", *(f"  {line}" for line in told)] if told else []


def _size(number: int) -> str:
    size, unit = float(number), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}"
