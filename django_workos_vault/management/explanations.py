"""What the pages say of a check, an error or a topic, printed offline: the wheel holds the pages."""

import inspect
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from django_workos_vault import exceptions

_PACKAGE = Path(__file__).resolve().parent.parent
_CHECK = re.compile(r"(?:django_workos_vault\.)?([EW]\d{3})", re.IGNORECASE)
_HEADING = re.compile(r"^(#{1,4}) (.+)$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


class NothingSaid(LookupError):
    """No page has it. The message names what comes nearest."""


def explain(wanted: str) -> str:
    """Return what is said of ``wanted``: a check's id, an error's name, a page, a heading or a setting.

    Without one, the list of pages. Raises NothingSaid.
    """
    wanted = wanted.strip().removesuffix(".md")
    if not wanted:
        topics = (f"  {name:18} {_title(text)}" for name, text in sorted(_pages().items()))
        return "\n".join(["Ids of checks, names of errors and of settings, and these topics:", *topics])
    for find in (_check, _error, _page, _section, _row):
        found = find(wanted)
        if found:
            return found
    near = get_close_matches(wanted.lower(), sorted(_known()), n=3, cutoff=0.5)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise NothingSaid(f"No page speaks of {wanted!r}.{hint} Without a topic, --explain lists them.")


def _pages() -> dict[str, str]:
    # A wheel holds the pages beside this module; a checkout where they are written.
    folder = _PACKAGE / "management" / "pages"
    if not folder.is_dir():
        folder = _PACKAGE.parent / "docs"
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}


def _check(wanted: str) -> str:
    number = _CHECK.fullmatch(wanted)
    checks = _pages().get("checks", "")
    return _under(checks, f"django_workos_vault.{number[1].upper()}") if number else ""


def _error(wanted: str) -> str:
    kind = {name.lower(): kind for name, kind in _errors()}.get(wanted.lower())
    if kind is None:
        return ""
    kinds = ", a ".join(
        each.__name__ for each in kind.__mro__ if each not in (Exception, BaseException, object)
    )
    return "\n\n".join([f"{kinds}.", inspect.cleandoc(kind.__doc__ or ""), *_rows(kind.__name__)])


def _page(wanted: str) -> str:
    return {name.lower(): text for name, text in _pages().items()}.get(wanted.lower(), "").strip()


def _section(wanted: str) -> str:
    return "\n\n".join(
        f"({name})\n{_under(text, heading)}"
        for name, text in sorted(_pages().items())
        for heading in _headings(text)
        if wanted.lower() in heading.lower()
    )


def _row(wanted: str) -> str:
    return "\n".join(_rows(wanted))


def _rows(name: str) -> list[str]:
    """Return the rows of the pages' tables that begin with ``name``, a line for each cell."""
    row = re.compile(rf"^\| (?:&nbsp; )*`{re.escape(name)}` \| (.*) \|$", re.MULTILINE | re.IGNORECASE)
    rows = row.findall("\n".join(_pages().values()))
    return ["\n".join([name, *(f"  {cell.strip()}" for cell in row.split(" | "))]) for row in rows]


def _under(text: str, heading: str) -> str:
    """Return the section of ``text`` with this heading, its subsections too."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    if not found:
        return ""
    code = [match.span() for match in _CODE.finditer(text)]  # where # is a comment
    for after in re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).finditer(text, found.end()):
        if not any(start < after.start() < end for start, end in code):
            return text[found.start() : after.start()].strip()
    return text[found.start() :].strip()


def _title(text: str) -> str:
    return next(iter(_headings(text)), "")


def _headings(text: str) -> list[str]:
    return [heading for _, heading in _HEADING.findall(_CODE.sub("", text))]


def _errors() -> Iterator[tuple[str, type[Exception]]]:
    for name, kind in vars(exceptions).items():
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == exceptions.__name__:
            yield name, kind


def _known() -> set[str]:
    pages = _pages()
    checks = (heading.rpartition(".")[2] for heading in _headings(pages.get("checks", "")))
    return {name.lower() for name in (*pages, *checks, *(name for name, _ in _errors()))}
