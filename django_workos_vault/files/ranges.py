"""HTTP ranges (RFC 9110, section 14): which bytes a request asks for."""

import re

_ONE_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII | re.IGNORECASE)
#: Longer numbers are none that a file could have; Python would take its time over them.
_MOST_DIGITS = 19


def wanted_range(asked: str | None, size: int) -> tuple[int, int] | None:
    """Return where the range of a ``Range`` header starts and stops in a file of ``size`` bytes.

    None when the whole file is to be sent: no header, one that is no range, or one of several ranges, which
    a server need not honour. Raises ValueError when nothing of the range is in the file.
    """
    match = _ONE_RANGE.fullmatch(asked or "")
    if match is None or max(map(len, match.groups())) > _MOST_DIGITS:
        return None
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    if start >= stop:
        raise ValueError("The range is not in the file.")
    return start, stop


def range_in_any_file(asked: str | None) -> tuple[int, int] | None:
    """Return the same for a file whose size is not known yet, or None where that would have to be known."""
    match = _ONE_RANGE.fullmatch(asked or "")
    if match is None or not match[1]:
        return None
    return wanted_range(asked, 10**_MOST_DIGITS)
