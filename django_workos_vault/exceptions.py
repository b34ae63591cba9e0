"""Every error of the package, in one tree.

::

    VaultError                       the service: it could not, or would not, do what was asked
      VaultUnavailable               network, timeout, 5xx, or an answer that is not Vault's
      VaultRateLimited               429; ``retry_after`` in seconds, or None
      VaultAuthenticationError       401
      VaultPermissionDenied          403
      VaultRequestError              400, 422, or refused before it was sent
        UndeclaredKeyContext         a value that DECLARED_CONTEXTS does not hold
      VaultNotFound                  404
      VaultConflict                  409
      VaultContextMismatch           Vault used another key context than it was asked to
    EnvelopeError                    a stored cell: it cannot be opened
      MalformedEnvelope              not an envelope, or cut short
      UnknownFormat                  an envelope of a version or suite this release does not know
      WrongKey                       the data key given is not the one that sealed it
      TamperedEnvelope               sealed with this key, but changed afterwards
      WrongBinding                   intact, but sealed for another field or another row
      UntrustedReference             a column's reference to an object in Vault that is none, or not its own
    InvalidVaultConfiguration        settings (also Django's ImproperlyConfigured)
      MissingKeyContext              a row lacks the value that chooses its key
    DecryptionForbidden              opening was switched off by ``decryption_forbidden()`` or ``SHELL``
    AccessNotRecorded                an access record could not be written, so nothing was revealed
    WouldBlockEventLoop              a key was needed from Vault in a running event loop (also Django's
                                     SynchronousOnlyOperation)

An outage and tampering never look alike. No message carries a plaintext, a key or an API key.
"""

from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation

__all__ = [
    "AccessNotRecorded",
    "DecryptionForbidden",
    "EnvelopeError",
    "InvalidVaultConfiguration",
    "MalformedEnvelope",
    "MissingKeyContext",
    "TamperedEnvelope",
    "UndeclaredKeyContext",
    "UnknownFormat",
    "UntrustedReference",
    "VaultAuthenticationError",
    "VaultConflict",
    "VaultContextMismatch",
    "VaultError",
    "VaultNotFound",
    "VaultPermissionDenied",
    "VaultRateLimited",
    "VaultRequestError",
    "VaultUnavailable",
    "WouldBlockEventLoop",
    "WrongBinding",
    "WrongKey",
]


class VaultError(Exception):
    """The Vault service could not, or would not, do what was asked."""


class VaultUnavailable(VaultError):
    """Vault cannot be reached, timed out, answered 5xx, or answered something that is not Vault's.

    ``others_answered`` tells that other requests were answered meanwhile: it is about one key or object then,
    as where a customer's own key service is down, and no outage. Where a batch was given up after such
    failures, ``was_asked`` is False for the keys that Vault was not even asked for.
    """

    others_answered = False
    was_asked = True


class VaultRateLimited(VaultError):
    """Vault answered 429 until the deadline. ``retry_after`` is in seconds, or None when not told."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VaultAuthenticationError(VaultError):
    """Vault does not accept the API key (401)."""


class VaultPermissionDenied(VaultError):
    """The API key may not do this, or the key's owner has withdrawn it (403)."""


class VaultRequestError(VaultError):
    """The request is invalid (400, 422), or was refused here before it was sent."""


class UndeclaredKeyContext(VaultRequestError):
    """A value was to be sealed under a key context that DECLARED_CONTEXTS does not hold. Nothing was sent."""


class VaultNotFound(VaultError):
    """Vault holds no such object (404)."""


class VaultConflict(VaultError):
    """The name is taken, or the object changed since the version that was expected (409)."""


class VaultContextMismatch(VaultError):
    """Vault's answer is for another key context than was asked for: its owner could not withdraw that key."""


class EnvelopeError(Exception):
    """A stored cell cannot be opened. The stored bytes are left as they are."""


class MalformedEnvelope(EnvelopeError):
    """The bytes are not an envelope, or were cut short."""


class UnknownFormat(EnvelopeError):
    """The envelope's version, suite or flags are not known to this release."""


class WrongKey(EnvelopeError):
    """The data key is not the one that the envelope commits to."""


class TamperedEnvelope(EnvelopeError):
    """The envelope commits to this key but fails authentication: it was changed after sealing."""


class WrongBinding(EnvelopeError):
    """The envelope was sealed for another field, or for another row."""


class UntrustedReference(EnvelopeError):
    """A column holds no reference to a Vault object, or one not made for this field, row and key context."""


#: What Vault says about one key. Its other errors (outage, rate limit, API key) concern every key.
REFUSALS = (VaultPermissionDenied, VaultRequestError, VaultNotFound, VaultConflict)

#: Why one cell cannot be opened, while others can.
CANNOT_BE_OPENED = (EnvelopeError, *REFUSALS)


class InvalidVaultConfiguration(ImproperlyConfigured):
    """A vault's settings, or a field's key context, are wrong. Raised before any request."""


class MissingKeyContext(InvalidVaultConfiguration):
    """A row lacks the value that chooses the key of its encrypted fields. Raised before any request."""


class DecryptionForbidden(Exception):
    """Opening a cell was asked for where ``decryption_forbidden()``, or a vault's ``SHELL``, is in force."""


class AccessNotRecorded(Exception):
    """The record of an access could not be written. Nothing was revealed."""


class WouldBlockEventLoop(SynchronousOnlyOperation):
    """Synchronous code in a running event loop needs a key that Vault would have to be asked for."""


#: What says nothing of the value or the key that was asked for: Vault answers nobody, or not this API key.
OUTAGES = (VaultUnavailable, VaultRateLimited, VaultAuthenticationError)


def is_outage(error: object) -> bool:
    """Whether ``error`` is of :data:`OUTAGES`, and concerns every key rather than the one asked for."""
    return isinstance(error, OUTAGES) and not getattr(error, "others_answered", False)
