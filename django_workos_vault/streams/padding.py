"""How a file's length is hidden: ``plaintext | zeros | size of the plaintext, 8 bytes``."""

from collections.abc import Iterable, Iterator

SIZE_BYTES = 8
_ZEROS = bytes(1 << 16)

#: ``"padme"``, or a block size in bytes
Padding = str | int


def check_padding(padding: Padding | None) -> None:
    """Raise ValueError for what is no padding."""
    if padding is None or padding == "padme":
        return
    if isinstance(padding, str) or padding < 1:
        raise ValueError("padding is None, 'padme', or a block size in bytes.")


def padded(chunks: Iterable[bytes], padding: Padding) -> Iterator[bytes]:
    """Yield ``chunks``, and what follows them."""
    size = 0
    chunk = b""
    try:
        for chunk in chunks:
            size += len(chunk)
            yield chunk
    finally:
        del chunk  # a report of what went wrong shows the locals of this frame
    zeros = _length(size + SIZE_BYTES, padding) - size - SIZE_BYTES
    for at in range(0, zeros, len(_ZEROS)):
        yield _ZEROS[: zeros - at]
    yield size.to_bytes(SIZE_BYTES)


def _length(length: int, padding: Padding) -> int:
    if isinstance(padding, int):
        return -(-length // padding) * padding
    # Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: Reducing Metadata Leakage from Encrypted Files
    # and Communication with PURBs, 2019): at most 12 % longer, and log log of the length is all that shows.
    exponent = length.bit_length() - 1
    spare = (1 << max(0, exponent - exponent.bit_length())) - 1
    return (length + spare) & ~spare
