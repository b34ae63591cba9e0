"""An index root key that comes from another vault: sealed under a data key of the one it moved to.

No vault wraps a key that another one made. So the new vault makes a data key of its own, and the root key is
sealed with that, as AES-256-GCM does (NIST SP 800-38D): nonce, ciphertext, tag.
"""

from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from django_workos_vault.datakey import NONCE_BYTES, DataKey
from django_workos_vault.exceptions import WrongKey


def seal(root: DataKey, made: DataKey, purpose: str) -> bytes:
    """Return ``root`` sealed under the new data key ``made``. Neither is wiped."""
    nonce = urandom(NONCE_BYTES)
    return nonce + AESGCM(bytes(made.plaintext)).encrypt(nonce, bytes(root.plaintext), purpose.encode())


def opened(sealed: bytes, answer: DataKey, purpose: str) -> DataKey:
    """Return the root key that was sealed under ``answer``, which is wiped.

    Raises WrongKey when it was not, or was changed.
    """
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        plaintext = bytearray(AESGCM(bytes(answer.plaintext)).decrypt(nonce, ciphertext, purpose.encode()))
        return DataKey(answer.id, plaintext, answer.wrapped)
    except (InvalidTag, ValueError):
        pass
    finally:
        answer.wipe()
    raise WrongKey("The root key of blind indexes was changed where it is kept. Restore its record.")
