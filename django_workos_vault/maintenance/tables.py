"""Which models have a table: those of apps that were not migrated, or are another database's, have none."""

from django.db import DatabaseError, connections, transaction
from django.db.models import Model, QuerySet


class Tables:
    """The tables and views of the database ``using``, as they are now."""

    def __init__(self, using: str) -> None:
        self._using = using
        self._names = set(connections[using].introspection.table_names(include_views=True))
        self._folded = {name.casefold() for name in self._names}

    def have(self, model: type[Model]) -> bool:
        """Whether the model's table is there."""
        name = model._meta.db_table
        if name in self._names:
            return True
        # The list has names alone, without schemas (schema"."table), and has them as the server folds them.
        if name.casefold() not in self._folded and not {'"', "`"} & {*name}:
            return False
        rows: QuerySet[Model] = QuerySet(model, using=self._using)
        try:
            with transaction.atomic(using=self._using):
                rows.exists()
        except DatabaseError:
            return False
        return True
