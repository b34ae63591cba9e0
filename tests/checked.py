"""What ``vault_check`` reports."""

import json
from contextlib import suppress
from io import StringIO
from typing import Any

from django.core.management import CommandError, call_command


def checked(*arguments: str, **options: Any) -> dict[str, Any]:
    """Return the JSON document, whether the command ends with an error or not."""
    out = StringIO()
    with suppress(CommandError):
        call_command("vault_check", *arguments, format="json", stdout=out, **options)
    document: dict[str, Any] = json.loads(out.getvalue())
    return document
