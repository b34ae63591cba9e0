"""Primary keys as text, and rows between two of them. Which key is greater, the database alone says."""

import json
import shlex
from base64 import b64encode
from typing import Any

from django.db.models import Model, QuerySet


def as_text(key: Any) -> str:
    """Return a primary key as a JSON list of texts, one for each of its columns."""
    return json.dumps([told(part) for part in (key if isinstance(key, tuple) else (key,))])


def told(part: Any) -> str:
    """Return one value of a key as text; bytes as Django takes them from text."""
    return b64encode(part).decode() if isinstance(part, bytes | memoryview) else str(part)


def as_argument(key: Any) -> str:
    """Return a primary key as a shell hands it to ``--start-after``."""
    text = as_text(key)
    return shlex.quote(text if isinstance(key, tuple) else json.loads(text)[0])


def from_text(model: type[Model], text: str) -> Any:
    """Return the primary key that :func:`as_text` was given; None for no text."""
    if not text:
        return None
    parts = [_value(field, part) for field, part in zip(model._meta.pk_fields, json.loads(text), strict=True)]
    return parts[0] if len(parts) == 1 else tuple(parts)


def between(rows: "QuerySet[Model]", lower: Any, upper: Any = None) -> "QuerySet[Model]":
    """Return ``rows`` behind the key ``lower`` up to ``upper`` and with it, in the order of their keys.

    None is no bound.
    """
    if lower is not None:
        rows = rows.filter(pk__gt=lower)
    if upper is not None:
        rows = rows.filter(pk__lte=upper)
    return rows.order_by("pk")


def _value(field: Any, text: str) -> Any:
    value = field.to_python(text)
    return bytes(value) if isinstance(value, memoryview) else value
