"""Digests that another vault's root key made: a new root key would find none of them and keep none out."""

from typing import Any

from django.db import DatabaseError, router, transaction

from django_workos_vault.envelope import digests_end
from django_workos_vault.exceptions import InvalidVaultConfiguration
from django_workos_vault.fields.cell import Sealed

#: Rows that are looked at, at either end of the table.
_ROWS = 100


def refuse_another_root_key(field: Any, version: int) -> None:
    """Raise InvalidVaultConfiguration where a root key is to be made for digests that are there already.

    As where the vault of a field was changed, and the new one does not read the old one, or not any more.
    """
    makers = field.vault.index_keys.made_elsewhere(version)
    if makers and _carries_digests(field):
        alias = field.vault_alias
        raise InvalidVaultConfiguration(
            f"Vault {alias!r} has no root key of version {version} for blind indexes, and cells of {field} "
            f"carry digests already, by that of vault {' or '.join(map(repr, makers))}: with another one no "
            f"search would find them. Name that vault in ALSO_READS of {alias!r}, and it is carried over: "
            "manage.py vault_check --explain moving."
        )


def _carries_digests(field: Any) -> bool:
    using = router.db_for_read(field.model)
    rows = field.model._base_manager.using(using).exclude(**{field.name: None}).only(field.attname)
    try:
        with transaction.atomic(using=using):  # a column that a migration is about to add
            held = [
                row.__dict__[field.attname] for end in ("pk", "-pk") for row in rows.order_by(end)[:_ROWS]
            ]
    except DatabaseError:
        return False
    return any(type(each) is Sealed and digests_end(each.cell) for each in held)
