"""Python's garbage collector, out of the way of a batch."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Let the collector wait for the end of the block, in all threads.

    A batch makes objects by the ten thousand, in no cycles, and drops them together. Visiting them again and
    again meanwhile, and all else that the process holds, is a third of a worker's time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
