"""Seal and open one file: key context, label and row binding in, a stream out."""

from collections.abc import Iterable, Iterator
from os import urandom

from django_workos_vault import envelope
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import WrongBinding
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.keyring.ring import KeyRing
from django_workos_vault.streams import header as headers
from django_workos_vault.streams.frames import Frames, seal_frames
from django_workos_vault.streams.header import FileHeader
from django_workos_vault.streams.padding import Padding, check_padding, padded
from django_workos_vault.streams.reader import SealedFile
from django_workos_vault.streams.sources import Source

#: What is read of a file at first: its header, most times.
AT_FIRST = 4096


class FileCipher:
    """Seals and opens the files of one label. Threads may share it.

    ``label`` names what the files are for; ``previous_labels`` are names that this had before, whose files
    it still opens. A file holds its wrapped data key itself, whatever the vault's ``envelope`` setting:
    it may outlive the database, and can be rekeyed by rewriting its first bytes.
    """

    def __init__(
        self,
        keyring: KeyRing,
        label: str,
        previous_labels: Iterable[str] = (),
        *,
        frame_exponent: int = headers.FRAME_EXPONENT,
    ) -> None:
        self.keyring = keyring
        self.label = label
        self._labels = {envelope.label_id(name): name for name in (*previous_labels, label)}
        self._frame_exponent = frame_exponent

    def seal(
        self,
        chunks: Iterable[bytes],
        context: KeyContext,
        *,
        binding: bytes = b"",
        name: str = "",
        padding: Padding | None = None,
        fill: int = headers.HEADER_BLOCK,
    ) -> Iterator[bytes]:
        """Return an iterator over the stored bytes of a file that holds ``chunks``, sealed under ``context``.

        ``binding`` is nothing or 16 bytes that the same row must give again. ``name`` is sealed into the
        header. ``padding`` is ``"padme"``, a block size in bytes, or None. The header is filled up to a
        multiple of ``fill`` bytes, which leaves room for another wrapped key. The key is fetched at once:
        raises VaultError when none can be had, ValueError for a padding or name that is none.
        """
        check_padding(padding)
        key = self.keyring.sealing_key(context)
        bare = FileHeader(
            flags=(headers.BOUND if binding else 0) | (headers.PADDED if padding else 0),
            frame_exponent=self._frame_exponent,
            label_id=envelope.label_id(self.label),
            commitment=key.commitment,
            salt=urandom(headers.SALT_BYTES),
            binding=binding or bytes(envelope.BINDING_BYTES),
            sealed_name=b"",
            key_reference=key.wrapped,
        )
        name_key, frame_key = bare.keys(key, self.label)
        start = bare.named(headers.seal_name(name, name_key)).packed(fill)
        frames = seal_frames(padded(chunks, padding) if padding else chunks, frame_key, bare.frame_bytes)
        return _begun(start, frames)

    @leaves_no_locals
    def open(self, source: Source, *, binding: bytes = b"") -> SealedFile:
        """Return the plaintext of the stored file ``source`` as a file, of which no frame was opened yet.

        ``binding`` is what :meth:`seal` was given. Raises an EnvelopeError that says what is wrong with the
        file, a VaultError when its key cannot be unwrapped, DecryptionForbidden where opening is off.
        """
        check_opening_allowed(self.keyring.vault)
        header = read_header(source)
        label = self.label_of(header)
        if header.binding != (binding or bytes(envelope.BINDING_BYTES)):
            raise WrongBinding(f"The file in {self.label} was sealed for another row.")
        name_key, frame_key = header.keys(self.keyring.opening_key(header.wants), label)
        name = headers.open_name(header.sealed_name, name_key)
        frames = Frames(source, header.length, frame_key, header.frame_bytes)
        self.keyring.counters.opened += 1
        return SealedFile(
            source,
            frames,
            vault=self.keyring.vault,
            original_name=name,
            etag=header.salt[:16].hex(),
            padded=bool(header.flags & headers.PADDED),
        )

    def label_of(self, header: FileHeader) -> str:
        """Return the label that a file was sealed for. Raises WrongBinding when it is none of these."""
        try:
            return self._labels[header.label_id]
        except KeyError:
            raise WrongBinding(
                f"The file in {self.label} was sealed for another field or purpose. After a rename, name "
                "the old label in previous_labels."
            ) from None


def read_header(source: Source) -> FileHeader:
    """Return the header of a stored file. Raises MalformedEnvelope or UnknownFormat; nothing is decrypted."""
    start = source.read_at(0, min(AT_FIRST, source.size))
    length = headers.header_length(start[: headers.START_BYTES])
    if length > len(start):
        start += source.read_at(len(start), length - len(start))
    return headers.parse(start)


def _begun(start: bytes, frames: Iterator[bytes]) -> Iterator[bytes]:
    yield start
    yield from frames
