"""What a page of the admin tells of a file that it does not show."""

import logging
from typing import Any

from django.db.models import Model
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_workos_vault import masks
from django_workos_vault.exceptions import DecryptionForbidden
from django_workos_vault.fields.django_internals.files import is_unsaved
from django_workos_vault.fields.masking import UNREADABLE
from django_workos_vault.files.fields import EncryptedFileField

logger = logging.getLogger(__name__)


def file_facts(instance: Model, name: str) -> SafeString:
    """Return the size of the plaintext of the row's encrypted file ``name``, or nothing where there is none.

    Its name on the storage is Django's to show. Where that is a random one, a mask stands for the original.
    The file's last frame is opened, which alone can tell; a file that cannot be opened is marked.
    """
    field = next((each for each in instance._meta.concrete_fields if each.name == name), None)
    if not isinstance(field, EncryptedFileField):
        return SafeString("")
    file: Any = getattr(instance, field.attname)
    if not file or is_unsaved(file):
        return SafeString("")
    try:
        told: Any = filesizeformat(file.size)
    except DecryptionForbidden:
        told = ""
    except Exception as exc:  # whatever storages raise: the page is there to say what row this is
        logger.warning("The size of a file cannot be told: %s: %s", type(exc).__name__, exc)
        told = format_html("<em>{}</em>", UNREADABLE)
    original = masks.FULL if field.conceal_names else ""
    return format_html('<span class="vault-file">{} {}</span>', original, told)
