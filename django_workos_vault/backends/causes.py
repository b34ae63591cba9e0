"""The chain of exceptions behind one: looked through, and rid of what it must not show."""

from collections.abc import Iterator


def without_frames(exc: Exception) -> Exception:
    """Return ``exc`` and its causes without frames: an HTTP library's locals hold the request as sent."""
    for link in _chain(exc):
        link.__traceback__ = None
    return exc


def caused_by(exc: Exception, kind: type[Exception]) -> bool:
    """Whether ``exc``, or what it was raised from, is a ``kind``."""
    return any(isinstance(link, kind) for link in _chain(exc))


def _chain(exc: Exception) -> Iterator[BaseException]:
    link: BaseException | None = exc
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
