"""What a run depends on in the declarations of its columns, as one hash."""

import json
from collections.abc import Iterable
from hashlib import sha256

from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.maintenance.cells import column_name


def fingerprint(fields: Iterable[EncryptedField]) -> str:
    """Return 64 hexadecimal digits that change when a column's cells would be sealed otherwise.

    That is its table and column, vault, key context, labels, row binding, blind indexes, padding and type.
    """
    declared = [
        [
            column_name(field),
            field.model._meta.db_table,
            field.column,
            field.plain_type,
            field.vault_alias,
            sorted((name, repr(item)) for name, item in (field.key_context or {}).items()),
            field.scheme.labels,
            [field.bind_to, *field.previous_bind_to],
            [kind and [type(kind).__name__, kind.deconstruct()[2]] for kind in field.blind_indexes],
            field.block,
        ]
        for field in fields
    ]
    return sha256(json.dumps(sorted(declared), default=repr).encode()).hexdigest()
