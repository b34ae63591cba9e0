"""What an instance's state holds while its values are written: the database, and what is needed no longer."""

from dataclasses import dataclass
from typing import Any

from django.db import router
from django.db.models import Model

from django_workos_vault.context import KeyContext
from django_workos_vault.fields.object_scheme import FieldInVault

_USING = "workos_vault_using"
_UNNEEDED = "workos_vault_unneeded"


@dataclass(frozen=True, slots=True)
class Unneeded:
    """An object that a row of ``field`` had, or (``beside``) what stood beside one; None for parts alone.

    ``split`` says that it names parts, which go with it; ``parts`` are ids of those that go after it, of the
    object called ``name``.
    """

    field: FieldInVault
    id: str | None
    context: KeyContext
    beside: bool = False
    split: bool = False
    parts: tuple[str, ...] = ()
    name: str = ""


def note_database(instance: Model, using: str) -> None:
    """Remember where ``instance`` is about to be saved."""
    setattr(instance._state, _USING, using)
    setattr(instance._state, _UNNEEDED, [])


def database_of(instance: Model) -> str:
    """Return the alias of the database that ``instance`` is being written to."""
    using: str = getattr(instance._state, _USING, None) or router.db_for_write(
        type(instance), instance=instance
    )
    return using


def note_unneeded(instance: Model, unneeded: Unneeded) -> None:
    """Have ``unneeded`` deleted once what is being written of ``instance`` has been committed."""
    noted = getattr(instance._state, _UNNEEDED, None)
    if noted is not None:  # else signals are muted: nobody will come for it, and vault_check finds it
        noted.append(unneeded)


def take_unneeded(instance: Model, field: FieldInVault) -> list[Unneeded]:
    """Return what was noted of ``field``, and forget it."""
    noted: list[Unneeded] = getattr(instance._state, _UNNEEDED, [])
    taken = [one for one in noted if one.field is field]
    noted[:] = [one for one in noted if one.field is not field]
    return taken


def state_of(instance: Model) -> tuple[Any, ...]:
    """Return what tells whether a row was written since: its key, database, and whether it is new."""
    return (instance.pk, instance._state.db, instance._state.adding)
