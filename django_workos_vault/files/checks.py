"""System checks of encrypted file fields."""

from collections.abc import Iterator

from django.core.checks import CheckMessage

from django_workos_vault.fields.checks import FieldChecks
from django_workos_vault.files.sealed_storage import SealedStorage


class FileFieldChecks(FieldChecks):
    """What is wrong with the declaration of an encrypted file field."""

    def messages(self) -> Iterator[CheckMessage]:
        """Yield what is wrong with the field's binding, key context and storage."""
        yield from self.binding("E130", "files ")
        yield from self.key_context()
        if isinstance(self.field.storage, SealedStorage):
            yield self.warning(
                "W130",
                "The field encrypts its files, and so does its storage: they are sealed twice.",
                "Give the field a storage that does not encrypt, or use Django's own field over this one.",
            )
