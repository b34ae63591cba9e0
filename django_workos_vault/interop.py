"""Stored cells and the WorkOS SDKs' own format.

A cell and an SDK's payload have the same parts in another order (see ``sdk_format``), so one becomes the
other without encrypting again. What an SDK sealed under associated data of its own can be opened, and stored
by assigning it; it cannot become a cell as it is, since a cell's associated data names its column.

``sdk`` is always the name of the SDK: ``"python"``, ``"node"``, ``"php"``, ``"ruby"``, ``"kotlin"``, ``"go"``
or ``"dotnet"``.
"""

from collections.abc import Mapping
from typing import NamedTuple

from django.db.models import Model

from django_workos_vault import envelope, sdk_format
from django_workos_vault.backends.base import VaultBackend
from django_workos_vault.client import Client
from django_workos_vault.configured_vault import ConfiguredVault
from django_workos_vault.context import KeyContext
from django_workos_vault.datakey import COMMITMENT_BYTES
from django_workos_vault.exceptions import MalformedEnvelope, WrongBinding, WrongKey
from django_workos_vault.fields.cell import stored_cell
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.forbidding import check_opening_allowed
from django_workos_vault.frame_locals import leaves_no_locals
from django_workos_vault.handler import vaults
from django_workos_vault.sdk_format import SDK, Payload

__all__ = [
    "SDKPayload",
    "cell_from_sdk",
    "cell_to_sdk",
    "open_from_sdk",
    "plain_bytes",
    "seal_for_sdk",
    "value_from_sdk",
    "value_to_sdk",
]

_NOT_OF_A_CELL = (
    "The associated data is not that of a cell this release knows: open the payload and assign the value."
)


class SDKPayload(NamedTuple):
    """The two arguments of ``vault.decrypt()`` in the WorkOS SDKs."""

    encrypted_data: str
    associated_data: str


def cell_to_sdk(
    cell: bytes, label: str, *, sdk: SDK = "python", wrapped: bytes | None = None, vault: str = "default"
) -> SDKPayload:
    """Return ``cell`` rearranged for the ``vault.decrypt()`` of an SDK.

    ``label`` is what the field seals for (``app_label.Model.field`` unless it was given one). The wrapped
    data key of a cell that refers to the registry is looked up there, for the vault with the alias ``vault``,
    unless it is given as ``wrapped``. SDKs give back text: that of text fields is the value, other types and
    padded cells are not UTF-8, so give them to an SDK with :func:`plain_bytes` and :func:`seal_for_sdk`.
    Raises MalformedEnvelope or UnknownFormat for what is no envelope, WrongBinding for another label's,
    WrongKey when the registry has no such key.
    """
    parsed = envelope.parse(cell)
    if parsed.label_id != envelope.label_id(label):
        raise WrongBinding(f"The cell was not sealed for {label}.")
    reference = parsed.key_reference or wrapped or _in_registry(parsed.commitment, vault)
    associated_data = envelope.associated_data(
        parsed.flags, parsed.commitment, parsed.binding, parsed.digests, label
    )
    payload = Payload(parsed.nonce, parsed.tag, reference, parsed.ciphertext)
    return SDKPayload(sdk_format.encode(payload, sdk), associated_data.decode())


def value_to_sdk(instance: Model, field_name: str, *, sdk: SDK = "python") -> SDKPayload:
    """Return the stored cell of an attribute as :func:`cell_to_sdk` does, whichever label it was sealed for.

    Raises ValueError when the attribute is NULL or not saved.
    """
    field, cell = _stored(instance, field_name)
    label_id = envelope.parse(cell).label_id
    labels = (field.label, *field.previous_labels)
    label = next((name for name in labels if envelope.label_id(name) == label_id), field.label)
    return cell_to_sdk(cell, label, sdk=sdk, vault=field.vault.alias)


@leaves_no_locals
def value_from_sdk(
    instance: Model, field_name: str, encrypted_data: str, associated_data: str, *, sdk: SDK = "python"
) -> None:
    """Put a payload into an attribute as its cell, which ``save()`` then stores, without encrypting again.

    ``associated_data`` has to be that of a cell of this column: what :func:`cell_to_sdk` gave. The cell is
    opened once, so that none is stored that nobody can open. Raises MalformedEnvelope or WrongBinding
    when the associated data is another (open it with :func:`open_from_sdk`, and assign the value),
    TamperedEnvelope, WrongKey or VaultError when the cell does not open.
    """
    field = _field(instance, field_name)
    cell = cell_from_sdk(encrypted_data, associated_data, sdk=sdk)
    sealed = field.of_row(cell, instance)
    sealed.open()
    instance.__dict__[field.attname] = sealed


def cell_from_sdk(encrypted_data: str, associated_data: str, *, sdk: SDK = "python") -> bytes:
    """Return a payload whose ``associated_data`` is that of a cell as the cell. Nothing is decrypted.

    Raises MalformedEnvelope when it is none.
    """
    payload = sdk_format.decode(encrypted_data, sdk)
    flags, commitment, binding, digests, label = _parts_of(associated_data)
    return b"".join(
        (
            envelope.digests_front(digests),
            envelope.header(flags, envelope.label_id(label), commitment, binding, payload.wrapped),
            payload.nonce,
            payload.tag,
            payload.ciphertext,
        )
    )


def _parts_of(associated_data: str) -> tuple[int, bytes, bytes, bytes, str]:
    """Return flags, commitment, row binding, digests and label, as the associated data of a cell has them."""
    try:
        _, _, flag_text, *hexadecimal, label = associated_data.split(":", 6)
        flags = int(flag_text)
        commitment, binding, digests = map(bytes.fromhex, hexadecimal)
    except ValueError:
        raise MalformedEnvelope(_NOT_OF_A_CELL) from None
    sound = (
        len(commitment) == COMMITMENT_BYTES
        and len(binding) == (envelope.BINDING_BYTES if flags & envelope.BOUND else 0)
        and len(digests) % envelope.DIGEST_BYTES == 0
        and len(digests) <= envelope.MAX_DIGESTS * envelope.DIGEST_BYTES
        and not flags & ~(envelope.KNOWN_FLAGS & ~envelope.REFERENCE)
        and envelope.associated_data(flags, commitment, binding, digests, label) == associated_data.encode()
    )
    if not sound:
        raise MalformedEnvelope(_NOT_OF_A_CELL)
    return flags, commitment, binding, digests, label


@leaves_no_locals
def open_from_sdk(
    backend: Client | VaultBackend,
    encrypted_data: str,
    associated_data: str | None = None,
    *,
    sdk: SDK = "python",
) -> bytes:
    """Return the plaintext of what an SDK's ``vault.encrypt()`` made.

    ``backend`` unwraps the data key (``vaults["default"]``). Raises MalformedEnvelope when the text
    is not of that format, TamperedEnvelope when it fails authentication, VaultError when the key cannot be
    unwrapped, DecryptionForbidden where nothing of the vault may be opened.
    """
    if isinstance(backend, ConfiguredVault):
        check_opening_allowed(backend.alias)
    payload = sdk_format.decode(encrypted_data, sdk)
    return payload.open(backend.decrypt_data_key(payload.wrapped), associated_data)


@leaves_no_locals
def seal_for_sdk(
    backend: Client | VaultBackend,
    plaintext: bytes,
    key_context: Mapping[str, str],
    associated_data: str | None = None,
    *,
    sdk: SDK = "python",
) -> str:
    """Return ``plaintext`` as an SDK's ``vault.encrypt()`` would, under a data key of its own.

    Raises VaultError when no key can be had.
    """
    key = backend.create_data_key(KeyContext(key_context).items)
    return sdk_format.encode(sdk_format.seal(key, plaintext, associated_data), sdk)


@leaves_no_locals
def plain_bytes(instance: Model, field_name: str) -> bytes:
    """Return the bytes that were sealed for a stored attribute of any type, without padding.

    They are what the field's encoding made of the value: see docs/format.md. Raises ValueError when the
    attribute is NULL or not saved, EnvelopeError or VaultError when the cell cannot be opened.
    """
    field, cell = _stored(instance, field_name)
    held = instance.__dict__[field.attname]
    held.complete(instance)
    return field.open_bytes(cell, row=held.row)


def _stored(instance: Model, field_name: str) -> tuple[EncryptedField, bytes]:
    field = _field(instance, field_name)
    return field, stored_cell(instance, field.attname)


def _field(instance: Model, field_name: str) -> EncryptedField:
    field = instance._meta.get_field(field_name)
    if not isinstance(field, EncryptedField):
        raise TypeError(f"{field} is no encrypted field.")
    return field


def _in_registry(commitment: bytes, vault: str) -> bytes:
    try:
        return vaults[vault].keyring.registry.find([commitment])[commitment]
    except KeyError:
        raise WrongKey("The registry has no record of the data key that this cell refers to.") from None
