"""The masked model form: shows no plaintext, opens no cell, and tells in words what Vault refused."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import FieldError, ObjectDoesNotExist, ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_workos_vault.admin_lookups import encrypted_field
from django_workos_vault.exceptions import (
    EnvelopeError,
    InvalidVaultConfiguration,
    MissingKeyContext,
    VaultAuthenticationError,
    VaultConflict,
    VaultError,
    VaultPermissionDenied,
    VaultRateLimited,
    VaultUnavailable,
    WrongKey,
)
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.django_internals.forms import CleansInstance
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.forms import cells_stay_sealed, keep_cells, withheld
from django_workos_vault.fields.masking import quote_no_value

logger = logging.getLogger(__name__)

#: What saving raises when a key or an object in Vault cannot be had, or a row does not say which key.
FAILURES = (VaultError, EnvelopeError, MissingKeyContext)

_REASONS = (
    (VaultUnavailable, gettext_lazy("WorkOS Vault cannot be reached at the moment.")),
    (VaultRateLimited, gettext_lazy("WorkOS Vault has too much to do at the moment.")),
    (VaultAuthenticationError, gettext_lazy("WorkOS Vault does not accept the API key of this site.")),
    (VaultConflict, gettext_lazy("Somebody else has changed a value of this row meanwhile.")),
    ((VaultPermissionDenied, WrongKey), gettext_lazy("The key for a value of this row cannot be used.")),
    (VaultError, gettext_lazy("WorkOS Vault refused the key for a value of this row, or the value.")),
    (MissingKeyContext, gettext_lazy("What chooses the key for a value of this row is missing.")),
    (EnvelopeError, gettext_lazy("A stored value of this row cannot be opened.")),
)


def explain_failure(failure: Exception) -> str:
    """Return what to tell a user of one of :data:`FAILURES`; the log gets the failure's own words."""
    logger.warning("A request could not be done: %s: %s", type(failure).__name__, failure)
    return str(next(text for kinds, text in _REASONS if isinstance(failure, kinds)))


class MaskedModelForm(CleansInstance):
    """A model form that shows masks, opens no cell, and takes a blank for "keep what is there".

    A mask stands for every value, wherever it comes from: a stored cell, ``initial``, an instance that is not
    saved, a default. ``MaskedAdminMixin`` puts this class behind the admin's own form. What the user enters
    is not shown again, not even next to an error in another field. A key that cannot be had is an error of
    the form.
    """

    #: initial values that a bound form was shown with, for the blanks that keep them
    prefilled: Mapping[str, Any] = {}
    #: why an attempt to save what this form was given has failed
    vault_failure: Exception | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with cells_stay_sealed():
            super().__init__(*args, **kwargs)
        for name, form_field in self.fields.items():
            field = encrypted_field(self._meta.model, name)
            if field is not None:
                keep_cells(form_field, field).masks_values = True
                if self.is_bound and name in self.prefilled:
                    self.initial[name] = self.prefilled[name]
                if name in self.initial:
                    self.initial[name] = withheld(self.initial[name], field)

    def add_error(self, field: str | None, error: Any) -> None:
        super().add_error(field, error)
        for name, found in self.errors.items():
            if encrypted_field(self._meta.model, name) is not None:
                for each in found.as_data():
                    quote_no_value(each)

    def clean_instance(self) -> None:
        failure = self.vault_failure if self.has_changed() or not self.prefix else None
        try:
            with cells_stay_sealed():
                super().clean_instance()
            if failure is None and not self.errors:
                self._try_to_seal()
        except FAILURES as exc:
            failure = exc
        if failure is not None:
            again = _(
                "Nothing was saved. What was entered is still in your browser: reload this page to send it "
                "again, or enter it once more."
            )
            self.add_error(None, ValidationError(f"{explain_failure(failure)} {again}", code="vault"))

    def _try_to_seal(self) -> None:
        """Seal what saving will seal: a key that cannot be had is then known before anything is written."""
        for field in self.instance._meta.concrete_fields:
            held = self.instance.__dict__.get(field.attname)
            if not isinstance(field, EncryptedField) or held is None:
                continue
            if type(held) is Sealed:
                if not held.has_changed() and not field.row_changed(held, self.instance):
                    continue
                held = held.open()
            try:
                field.sealed(held, self.instance)
            except (AttributeError, FieldError, InvalidVaultConfiguration, ObjectDoesNotExist, ValueError):
                continue  # what the key depends on may be set later, by the view
