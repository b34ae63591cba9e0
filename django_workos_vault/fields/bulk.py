"""Many rows at a time: keys fetched ahead, and bulk writes of fields that depend on their row."""

from collections.abc import AsyncIterable, Iterable
from typing import Any, Self, TypeVar

from django.core.exceptions import FieldError
from django.db import connections, models, transaction

from django_workos_vault.cipher import Cipher
from django_workos_vault.fields.cell import Sealed
from django_workos_vault.fields.django_internals.querysets import (
    plain_twin,
    refuse_combined,
    set_base_manager,
)
from django_workos_vault.fields.field import EncryptedField
from django_workos_vault.fields.partial_writes import depends_on
from django_workos_vault.frame_locals import leaves_no_locals

_Model = TypeVar("_Model", bound=models.Model)

UPDATE_BATCH = 500


@leaves_no_locals
def load_keys(instances: Iterable[models.Model]) -> None:
    """Unwrap the keys of every stored cell of ``instances`` that are not in memory, all together.

    Keys that cannot be had are passed over: reading their values raises the reason.
    """
    for cipher, cells in _cells(instances).items():
        cipher.load_keys(cells)


@leaves_no_locals
async def aload_keys(instances: Iterable[models.Model]) -> None:
    """:func:`load_keys` for async code, to be awaited before values are read in an event loop.

    Of a queryset, which has its rows then, neither the query nor Vault blocks the event loop.
    """
    rows = [row async for row in instances] if isinstance(instances, AsyncIterable) else instances
    for cipher, cells in _cells(rows).items():
        await cipher.aload_keys(cells)


def _cells(instances: Iterable[models.Model]) -> dict[Cipher, list[bytes]]:
    cells: dict[Cipher, list[bytes]] = {}
    for instance in instances:
        for held in instance.__dict__.values():
            if type(held) is Sealed:
                cells.setdefault(held.field.scheme.cipher, []).append(held.cell)
    return cells


class EncryptedQuerySet(models.QuerySet[_Model]):
    """A queryset whose ``update()`` has the rows at hand, as ``bulk_update()`` has in any."""

    @leaves_no_locals
    def update(self, **values: Any) -> int:
        """Update as Django does; where cells depend on their row, load the rows and seal each for its own.

        Runs in one transaction and locks the rows where the database can. Raises FieldError for an expression
        next to a field that depends on its row.
        """
        for field in self._fields_of_files():
            field.refuse_move(self, values)
        resealed = {field.name for field in self._encrypted_fields() if depends_on(field, self.model, values)}
        if not resealed:
            return super().update(**values)
        if any(hasattr(value, "resolve_expression") for value in values.values()):
            raise FieldError(
                f"{self.model._meta.label}.{min(resealed)} depends on its row: update it with values, "
                "not together with expressions."
            )
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        refuse_combined(self, "update")
        self._for_write = True
        everything: EncryptedQuerySet[_Model] = EncryptedQuerySet(self.model, using=self.db)
        with transaction.atomic(using=self.db):
            # Not these rows themselves: values() has no instances, and groups and joins cannot be locked.
            rows = everything.filter(pk__in=self.using(self.db).order_by().values("pk"))
            if connections[self.db].features.has_select_for_update:
                rows = rows.select_for_update()
            objs = list(rows)
            for obj in objs:
                for name, value in values.items():
                    setattr(obj, name, value)
            names = {self.model._meta.get_field(name).name for name in values} | resealed
            return everything.bulk_update(objs, names, UPDATE_BATCH)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None) -> int:
        """Update as Django does, which writes with ``update()``: not with the one above.

        Raises FieldError when ``fields`` names a column that cells are bound to, but not those cells.
        """
        objs, fields = tuple(objs), tuple(fields)
        for obj in objs:
            for field in self._fields_of_files():
                field.refuse_move_of(obj, fields)
        return plain_twin(self).bulk_update(objs, fields, batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    @leaves_no_locals
    def unlock(self, *names: str) -> Self:
        """Run the query and unwrap the data keys of the named fields (all encrypted ones when none is named).

        Each key costs one request, all of them one round of waiting. Afterwards, reading those attributes
        asks Vault for nothing as long as the keys stay in memory (``cache_ttl``, ``cache_size``).
        """
        for cipher, cells in self._cells(names):
            cipher.load_keys(cells)
        return self

    @leaves_no_locals
    async def aunlock(self, *names: str) -> Self:
        """:meth:`unlock` for async code: neither the query nor Vault blocks the event loop."""
        async for _ in self:
            pass
        for cipher, cells in self._cells(names):
            await cipher.aload_keys(cells)
        return self

    def _cells(self, names: tuple[str, ...]) -> list[tuple[Cipher, list[bytes]]]:
        found = []
        for field in self._encrypted_fields():
            if not names or field.name in names:
                held = (obj.__dict__.get(field.attname) for obj in self)
                found.append((field.scheme.cipher, [value.cell for value in held if type(value) is Sealed]))
        return found

    def _fields_of_files(self) -> list[Any]:
        return [f for f in self.model._meta.concrete_fields if hasattr(f, "refuse_move_of")]

    def _encrypted_fields(self) -> list[EncryptedField]:
        return [f for f in self.model._meta.concrete_fields if isinstance(f, EncryptedField)]


class EncryptedManager(models.Manager.from_queryset(EncryptedQuerySet)):  # type: ignore[misc]
    """``objects = EncryptedManager()`` on a model gives it all of the above.

    It becomes the model's base manager too, unless ``Meta.base_manager_name`` names one: with that, the
    ``add()`` and ``set()`` of relations move rows.
    """

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        super().contribute_to_class(cls, name)
        if type(self) is EncryptedManager and not cls._meta.base_manager_name:
            set_base_manager(cls, name)  # a subclass may leave rows out
