"""The parts of values that one object in Vault does not hold: which are needed, and which are gone."""

from collections.abc import Iterable, Mapping

from django_workos_vault.context import KeyContext
from django_workos_vault.exceptions import EnvelopeError, VaultError, VaultNotFound, is_outage
from django_workos_vault.fields.object_column import ObjectColumn
from django_workos_vault.fields.object_parts import PartStore
from django_workos_vault.fields.object_reference import name_of_whole


class ObjectsOfField:
    """The objects of one field, ``names`` by their ids, as they were listed."""

    def __init__(self, field: ObjectColumn, names: Mapping[str, str]) -> None:
        self._field = field
        self._names = names

    def parts_of(self, holders: Iterable[str], context: KeyContext) -> tuple[set[str], str]:
        """Return the ids of the parts that the objects ``holders`` name, and what is wrong with them.

        Reads manifests, and no value. Raises VaultError in an outage; whatever else keeps a manifest from
        being read makes every part of its object needed.
        """
        needed: set[str] = set()
        problem = ""
        for holder in holders:
            try:
                found = self._field.vault.backend.read_object(holder)
                self._field.scheme.check_answer(holder, found, context, beside=True)
                parts = {part.id for part in PartStore(self._field).named_in(found)}
            except VaultNotFound:
                continue
            except (EnvelopeError, VaultError) as exc:
                if is_outage(exc):
                    raise
                problem = f"the parts of its object {holder} are not to be known. {exc}"
                needed |= self.parts_beside(holder)
            else:
                needed |= parts
                gone = [part for part in sorted(parts) if not self.has(part)]
                if gone:
                    problem = f"{len(gone)} of {len(parts)} parts of its object {holder} are gone from Vault."
        return needed, problem

    def parts_beside(self, holder: str) -> set[str]:
        """Return the ids of all parts that stand beside an object."""
        beginning = f"{name_of_whole(self._names.get(holder, ''))}/part-"
        return {object_id for object_id, name in self._names.items() if name.startswith(beginning)}

    def has(self, object_id: str) -> bool:
        """Whether Vault has an object with this id: one that was listed, or made since."""
        if object_id in self._names:
            return True
        try:
            self._field.vault.backend.describe_object(object_id)
        except VaultNotFound:
            return False
        return True
