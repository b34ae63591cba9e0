"""Which encrypted field a path of names leads to, as queries and addresses spell it."""

from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP

from django_workos_vault.fields.django_internals.queries import filtered_relation, output_field
from django_workos_vault.fields.vault_field import VaultField


def encrypted_path(rows: QuerySet[Any], lookup: str) -> str | None:
    """Return the path of the first encrypted field in ``lookup``, None when there is none on its way.

    A path is the names of relations and of the field, ``patient__ssn``, as the query that filters ``rows``
    would follow them: ``pk`` stands for the primary key's name, and what ``rows`` were annotated with for
    what it is.
    """
    first, *others = lookup.split(LOOKUP_SEP)
    annotation = rows.query.annotations.get(first)
    if annotation is not None:
        return first if isinstance(output_field(annotation), VaultField) else None
    relation = filtered_relation(rows.query, first)
    names = [first] if relation is None else relation.relation_name.split(LOOKUP_SEP)
    path: list[str] = []
    model: type[Model] = rows.model
    for name in (*names, *others):
        primary_key = model._meta.pk
        try:
            field: Any = primary_key if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return None
        path.append(field.name)
        if isinstance(field, VaultField):
            return LOOKUP_SEP.join(path)
        steps = getattr(field, "path_infos", None)
        if not steps:
            return None
        model = steps[-1].to_opts.model
    return None
