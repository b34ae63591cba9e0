"""The parts of values that one object in Vault does not hold: which are needed, and which are gone."""

from collections.abc import Iterable, Mapping

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError, VaultError, VaultNotFound, is_outage
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_parts import parts_in
from django_workos_vault.fields.object_proof import check_answer
from django_workos_vault.fields.object_reference import name_of_whole


def inspect_parts(
    field: ObjectColumn, holders: Iterable[str], names: Mapping[str, str], context: KeyContext
) -> tuple[set[str], str]:
    """Return the ids of the parts that the objects ``holders`` name, and what is wrong with them.

    ``names`` are those of all objects of ``field``, by id. Reads manifests, and no value. Raises VaultError
    in an outage; whatever else keeps a manifest from being read makes every part of its object needed.
    """
    needed: set[str] = set()
    problem = ""
    for holder in holders:
        try:
            found = field.vault.backend.read_object(holder)
            check_answer(field, holder, found, context, beside=True)
            parts = {part.id for part in parts_in(field, found)}
        except VaultNotFound:
            continue
        except (EnvelopeError, VaultError) as exc:
            if is_outage(exc):
                raise
            problem = f"the parts of its object {holder} are not to be known. {exc}"
            needed |= parts_beside(holder, names)
        else:
            needed |= parts
            gone = [part for part in sorted(parts - names.keys()) if not exists(field, part)]
            if gone:
                problem = f"{len(gone)} of {len(parts)} parts of its object {holder} are gone from Vault."
    return needed, problem


def parts_beside(holder: str, names: Mapping[str, str]) -> set[str]:
    """Return the ids of all parts that stand beside an object."""
    beginning = f"{name_of_whole(names.get(holder, ''))}/part-"
    return {object_id for object_id, name in names.items() if name.startswith(beginning)}


def exists(field: ObjectColumn, object_id: str) -> bool:
    """Whether Vault has an object with this id."""
    try:
        field.vault.backend.describe_object(object_id)
    except VaultNotFound:
        return False
    return True
