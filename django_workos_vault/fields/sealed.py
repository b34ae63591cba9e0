"""The former place of :class:`Sealed`, which pickles in users' caches name."""

from django_workos_vault.fields.cell import Sealed, _itself

__all__ = ["Sealed", "_itself"]
