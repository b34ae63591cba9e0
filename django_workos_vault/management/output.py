"""How the commands talk: aligned tables, JSON, colour and progress bars on a terminal alone."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, time
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style, no_style
from django.core.serializers.json import DjangoJSONEncoder
from tqdm import tqdm

from django_workos_vault.maintenance.cells import BadCell
from django_workos_vault.maintenance.engine.keys import told

#: primary keys printed for one reason; JSON has them all
KEYS_SHOWN = 100


def positive(argument: str) -> int:
    """Return a command's argument as an integer over 0. Raises ValueError, as argparse expects."""
    number = int(argument)
    if number < 1:
        raise ValueError
    return number


def style_for(out: OutputWrapper, style: Style, forced: bool) -> Style:
    """Return ``style``, or a colourless one where ``out`` (not just the process's stdout) is no terminal."""
    return style if forced or out.isatty() else no_style()


def silence(stream: Any) -> None:
    """Send what is written to a stream that nobody reads any more nowhere, by Python's own last flush too."""
    with suppress(OSError):  # it is none of the process's
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def tell(line: str) -> None:
    """Write a line to stderr, as long as somebody reads it, or the disk takes it."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)


def progress_bar(total: int, unit: str, verbosity: int) -> "tqdm[Any]":
    """Return a progress bar on stderr, shown on a terminal only."""
    return tqdm(
        total=total, unit=f" {unit}", file=sys.stderr, leave=False, disable=None if verbosity else True
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a table: text to the left, numbers to the right."""
    rows = [list(row) for row in rows]
    texts = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(text) for text in column) for column in zip(*texts, strict=True)]
    right = [
        bool(rows) and all(isinstance(cell, int) for cell in column) for column in zip(*rows, strict=True)
    ]
    return [
        "  ".join(
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right or [False] * len(widths), strict=True)
        ).rstrip()
        for line in texts
    ]


def bad_cells(cells: Iterable[BadCell]) -> list[str]:
    """Return lines that list the primary keys of ``cells`` by column and reason."""
    groups: dict[tuple[str, str], list[BadCell]] = {}
    for cell in cells:
        groups.setdefault((cell.column, cell.reason), []).append(cell)
    lines = []
    for (column, reason), group in groups.items():
        more = len(group) - KEYS_SHOWN
        keys = ", ".join(told(cell.pk) for cell in group[:KEYS_SHOWN])
        lines.append(f"{column}, {reason}: {len(group)}. {group[0].message}")
        lines.append(
            f"  primary keys: {keys}" + (f" and {more} more; --format json has all" if more > 0 else "")
        )
    return lines


def as_json(document: object) -> str:
    """Return ``document`` as JSON; what JSON has no type for (keys that are UUIDs, dates) as text."""
    return json.dumps(document, cls=_Encoder, indent=2)


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, datetime | time):  # as Django has them, to the microsecond
            return o.isoformat().replace("+00:00", "Z")
        return told(o) if isinstance(o, bytes | memoryview) else super().default(o)
