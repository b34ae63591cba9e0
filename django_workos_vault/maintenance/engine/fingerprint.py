"""What a run depends on in the declarations of its columns, as one hash."""

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from django_workos_vault.fields.field import EncryptedField


def fingerprint(fields: Iterable[EncryptedField]) -> str:
    """Return 64 hexadecimal digits that change when a column's cells would be sealed otherwise.

    That is its table and column, vault, key context, labels, row binding, blind indexes, padding and type.
    """
    declared = [  # a file field has no type of column, index or block
        [
            str(field),
            field.model._meta.db_table,
            field.column,
            getattr(field, "plain_type", "file"),
            field.vault_alias,
            sorted((name, repr(item)) for name, item in (field.key_context or {}).items()),
            field.scheme.labels,
            [field.bind_to, *field.previous_bind_to],
            [_index(kind) for kind in getattr(field, "blind_indexes", ())],
            getattr(field, "block", None),
        ]
        for field in fields
    ]
    return sha256(json.dumps(sorted(declared), default=repr).encode()).hexdigest()


def _index(kind: Any) -> Any:
    return kind and [type(kind).__name__, kind.deconstruct()[2]]
