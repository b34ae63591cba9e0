"""Whose object a reference is: proven before Vault is asked for it, and again by what Vault answers.

Whoever writes the database writes references. So each carries a proof, an HMAC-SHA-256 over label, key
context, primary key, id, version and kind of value, under a key that is derived from a root key of the
vault: without the API key nobody makes one, and none fits another field, row or context. A database that
assigns primary keys does so after the reference is written; it is bound to its row right afterwards (see
``object_writes``), and until then its proof names no row.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.db import models

from django_workos_vault.backends.objects import ObjectWithoutValue, VaultObject
from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import UntrustedReference, VaultUnavailable
from django_workos_vault.fields.object_reference import ObjectReference, is_id, is_name_under
from django_workos_vault.fields.scheme import NOT_LOADED, Row, Scheme
from django_workos_vault.fields.vault_field import VaultField

Sign = Callable[[ObjectReference], ObjectReference]
Identity = list[tuple[str, str]] | None

_IDENTIFIES = (models.IntegerField, models.CharField, models.UUIDField, models.DateField)


class ObjectScheme(Scheme):
    """References are bound to their rows: to the primary key, and to what chooses the key context."""

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self.is_bound = self.remembers_row = True

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        key = (column.attname for column in self._options.pk_fields)
        return tuple(dict.fromkeys((*key, *self.context_columns)))

    def has_moved(self, row: Row | None, instance: models.Model) -> bool:
        """Whether the program moved the row to another key context. A copy of a row gets its own object."""
        pairs = zip(self.row_columns, row or (), self.row_of(instance), strict=row is not None)
        return any(
            old != new
            for name, old, new in pairs
            if name in self.context_columns and NOT_LOADED not in (old, new)
        )

    def as_loaded(self, instance: models.Model, row: Row | None) -> models.Model:
        """Return ``instance`` as ``row`` has it: what chose the key before the program moved the row."""
        moved = {
            name: value
            for name, value in zip(self.row_columns, row or (), strict=row is not None)
            if name in self.context_columns
            and value is not NOT_LOADED
            and instance.__dict__.get(name, value) != value
        }
        if not moved:
            return instance
        before = type(instance).__new__(type(instance))
        before.__dict__.update(instance.__getstate__())
        for name, value in moved.items():
            setattr(before, name, value)  # a relation's cache goes with it
        return before

    def primary_key_in(self, row: Row | None) -> Identity:
        """Return the primary key in ``row``, as it is signed.

        None where it is not known yet, or does not read the same after a round trip through every database.
        """
        values = {} if row is None else dict(zip(self.row_columns, row, strict=True))
        identity = []
        for column in self._options.pk_fields:
            value, target = values.get(column.attname), column
            while hasattr(target, "target_field"):
                target = target.target_field
            if value is None or value is NOT_LOADED or hasattr(value, "resolve_expression"):
                return None
            if not isinstance(target, _IDENTIFIES) or isinstance(target, models.DateTimeField):
                return None
            identity.append((column.attname, str(target.to_python(value))))
        return identity

    def signer(self, row: Row, context: KeyContext) -> Sign:
        """Return what makes the references of one row. Raises VaultError when its key cannot be had."""
        identity = self.primary_key_in(row)
        prove = self.vault.object_prover(self.label)

        def sign(reference: ObjectReference) -> ObjectReference:
            if not is_id(reference.id) or not is_id(reference.version):
                raise VaultUnavailable(
                    f"Vault gave an object of {self._place} an id or a version that is none."
                )
            return replace(reference, proof=_text(prove(_signed(self.label, context, identity, reference))))

        return sign

    def check_proof(self, reference: ObjectReference, row: Row | None, context: KeyContext) -> bool:
        """Whether ``reference`` is bound to its row. Raises UntrustedReference when it is not this row's.

        Vault is asked for the key alone, and only when that is not in memory; VaultError when it cannot be
        had.
        """
        if reference.unreadable:
            raise UntrustedReference(f"The column of {self._place} holds no reference to an object in Vault.")
        identity = self.primary_key_in(row)
        for label in self.labels if reference.proof else ():
            prove = self.vault.object_prover(label)
            for bound in (identity, None) if identity else (None,):
                expected = _text(prove(_signed(label, context, bound, reference)))
                if hmac.compare_digest(expected, reference.proof):  # parse() lets no other than ASCII through
                    return bound is not None
        raise UntrustedReference(
            f"The reference to object {reference.id} was not made for this row of {self._place} and its key "
            "context. Vault was not asked for the object. Either the column was changed, or what chooses the "
            "key context was, or the key of the proofs is another: see adopt_object()."
        )

    def check_answer(
        self,
        object_id: str,
        answer: VaultObject | ObjectWithoutValue,
        context: KeyContext,
        *,
        beside: bool = False,
    ) -> None:
        """Raise UntrustedReference unless Vault's answer is of an object that the field would make now.

        With ``beside``, of what it puts beside one (see ``is_name_under``).
        """
        if (
            answer.id != object_id
            or not is_name_under(self.labels, answer.name, beside=beside)
            or answer.metadata.context != context.items
        ):
            raise UntrustedReference(
                f"The object {object_id} is none that {self._place} made for this row: it has another name "
                "or another key context. It was left alone."
            )


class FieldInVault(VaultField):
    """A field whose values live in Vault, as far as what deals with their objects knows it."""

    holds_cells = "references"

    @cached_property
    def scheme(self) -> ObjectScheme:
        """What the field's objects and references are bound to."""
        return ObjectScheme(self)


def _signed(label: str, context: KeyContext, identity: Identity, reference: ObjectReference) -> bytes:
    signed = [label, context.digest, identity, reference.id, reference.version, reference.structured]
    if reference.split:
        signed.append("parts")
    return json.dumps(signed, separators=(",", ":")).encode()


def _text(proof: bytes) -> str:
    return urlsafe_b64encode(proof).decode().rstrip("=")
