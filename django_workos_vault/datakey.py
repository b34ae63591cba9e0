"""Data keys: what a vault hands out (``DataKey``), and what seals and opens with one (``LoadedKey``)."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Never

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from django_workos_vault.exceptions import VaultUnavailable

DATA_KEY_BYTES = 32
COMMITMENT_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
COMMITMENT_INFO = b"django_workos_vault/1/commitment"
DERIVATION_INFO = b"django_workos_vault/1/derivation"
#: what the registry's column holds; Vault's ids are UUIDs
MAX_KEY_ID_LENGTH = 200
#: wrapped keys remembered of one data key; there is one for each context it was wrapped under
MAX_PROVEN = 256


class _NeverPickled:
    """Key material stays in this process's memory: neither pickle nor copy may take it along."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError(f"{type(self).__name__} holds key material and is never pickled or copied")


@dataclass(frozen=True, slots=True)
class DataKey(_NeverPickled):
    """A data key as a vault returned it.

    ``id`` is Vault's name for the key; ``plaintext`` is 32 bytes, kept in a ``bytearray`` so that
    :meth:`wipe` can overwrite it; ``wrapped`` is Vault's ``encrypted_keys`` blob, raw bytes;
    ``context`` is the key context it is wrapped under, or None where the answer does not tell
    (decrypt). The plaintext never appears in the repr.
    """

    id: str
    plaintext: bytearray = field(repr=False, compare=False)
    wrapped: bytes = field(repr=False)
    context: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if len(self.plaintext) != DATA_KEY_BYTES:
            raise ValueError(f"a data key has {DATA_KEY_BYTES} bytes, not {len(self.plaintext)}")

    def check(self) -> None:
        """Raise VaultUnavailable, and wipe the key, when no vault can have made it.

        That is one of all zeros, or with an id that no registry could keep and no log could show.
        """
        zeros = not any(self.plaintext)
        if zeros or not (0 < len(self.id) <= MAX_KEY_ID_LENGTH and self.id.isprintable()):
            self.wipe()
            fault = "is all zeros" if zeros else "has an id that is none"
            raise VaultUnavailable(f"The answer is not Vault's: the data key in it {fault}.")

    def wipe(self) -> None:
        """Overwrite the plaintext with zeros, as well as Python allows."""
        self.plaintext[:] = bytes(len(self.plaintext))


class Head:
    """How all cells of one column begin that one key sealed: ``start``, behind the digests and up to the
    nonce, the associated data without digests, the envelope's flags, and where to find what follows."""

    __slots__ = ("associated_data", "flags", "key", "nonce", "start", "tag", "text", "text_at")

    def __init__(self, key: "LoadedKey | None", start: bytes, associated_data: bytes, flags: int) -> None:
        self.key = key
        self.start = start
        tag_at = len(start) + NONCE_BYTES
        self.text_at = tag_at + TAG_BYTES
        self.nonce = slice(len(start), tag_at)
        self.tag = slice(tag_at, self.text_at)
        self.text = slice(self.text_at, None)
        self.associated_data = associated_data
        self.flags = flags


class LoadedKey(_NeverPickled):
    """A data key ready for use: AES-256-GCM and the key's commitment, without the key bytes.

    Takes over ``data_key`` and wipes it: from here on the key lives only inside the cipher object,
    which the cryptography library clears when its last user lets go. Raises ValueError for a key that was
    wiped already: nothing is ever sealed under zeros.
    """

    __slots__ = (
        "_derivation_key",
        "_proven",
        "aead",
        "commitment",
        "dropped_at",
        "expires_at",
        "heads",
        "id",
        "wrapped",
    )

    def __init__(self, data_key: DataKey) -> None:
        if not any(data_key.plaintext):
            raise ValueError(f"data key {data_key.id} is all zeros: it was wiped, or never made")
        self.id = data_key.id
        self.wrapped = data_key.wrapped
        #: the SHA-256 of each wrapped key that was seen to unwrap to this one
        self._proven = {sha256(self.wrapped).digest()}
        self.commitment = derive(data_key.plaintext, COMMITMENT_INFO)
        self._derivation_key = derive(data_key.plaintext, DERIVATION_INFO)
        self.aead = AESGCM(data_key.plaintext if _AEAD_COPIES_ITS_KEY else bytes(data_key.plaintext))
        #: on the key cache's clock, in seconds: not to be used after, not to be kept after
        self.expires_at = self.dropped_at = 0.0
        #: by cipher, which works them out
        self.heads: dict[object, Head] = {}
        data_key.wipe()

    @classmethod
    def answered(cls, answer: DataKey) -> "LoadedKey":
        """Return a vault's answer ready for use. Raises what :meth:`DataKey.check` raises."""
        answer.check()
        return cls(answer)

    def __repr__(self) -> str:
        return f"<LoadedKey {self.id}>"

    def is_proven(self, wrapped: bytes) -> bool:
        """Whether ``wrapped`` was seen to unwrap to this key; no bytes stand for the registry's record."""
        return wrapped == self.wrapped or sha256(wrapped).digest() in self._proven

    def prove(self, wrapped: bytes) -> None:
        """Remember that ``wrapped`` unwraps to this key."""
        if len(self._proven) >= MAX_PROVEN:
            self._proven.clear()
        self._proven.add(sha256(wrapped).digest())

    def carry(self, wrapped: bytes) -> None:
        """Have new cells carry ``wrapped``: the same key, wrapped again since it was loaded."""
        if wrapped != self.wrapped:
            self.wrapped = wrapped
            self.forget_heads()

    def forget_heads(self) -> None:
        """Have no head lead to this key any more: whoever still holds one must not keep the key alive."""
        for head in list(self.heads.values()):
            head.key = None
        self.heads.clear()

    def derive(self, info: bytes, *, salt: bytes | None = None, length: int = 32) -> bytes:
        """Return bytes that only a holder of this data key can compute, for the purpose ``info``."""
        return derive(self._derivation_key, info, salt=salt, length=length)


def derive(key: bytes | bytearray, info: bytes, *, salt: bytes | None = None, length: int = 32) -> bytes:
    """Return ``length`` bytes derived from ``key`` for the purpose ``info`` (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


def _aead_copies_its_key() -> bool:
    # With some OpenSSL versions the cryptography library keeps a reference to the buffer instead of
    # a copy; wiping it would then silently change the key.
    key = bytearray(b"\x01" * DATA_KEY_BYTES)
    aead = AESGCM(key)
    before = aead.encrypt(bytes(12), b"", None)
    key[:] = bytes(DATA_KEY_BYTES)
    return aead.encrypt(bytes(12), b"", None) == before


_AEAD_COPIES_ITS_KEY = _aead_copies_its_key()
