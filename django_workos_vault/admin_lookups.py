"""Which encrypted field a lookup leads to, as an address of the admin spells it."""

from typing import Any

from django.contrib.admin.utils import NotRelationField, get_fields_from_path
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP

from django_workos_vault.fields.vaulted import VaultFieldMixin


def encrypted_field(model: type[Model], path: Any) -> VaultFieldMixin | None:
    """Return the encrypted field named by ``path`` (a name, ``relation__field``, or a callable), or None."""
    if callable(path):
        return None
    try:
        field: Any = get_fields_from_path(model, path)[-1]
    except (FieldDoesNotExist, NotRelationField):
        return None
    return field if isinstance(field, VaultFieldMixin) else None


def encrypted_path(rows: QuerySet[Any], lookup: str) -> str | None:
    """Return the path of the first encrypted field in ``lookup``, None when there is none on its way.

    A path is the names of relations and of the field, ``patient__ssn``, as the query that filters ``rows``
    would follow them: ``pk`` stands for the primary key's name, and what ``rows`` were annotated with for
    what it is.
    """
    first, *others = lookup.split(LOOKUP_SEP)
    annotation = rows.query.annotations.get(first)
    if annotation is not None:
        return first if isinstance(_output_field(annotation), VaultFieldMixin) else None
    relation = getattr(rows.query, "_filtered_relations", {}).get(first)
    names = first.split(LOOKUP_SEP) if relation is None else relation.relation_name.split(LOOKUP_SEP)
    path: list[str] = []
    model: type[Model] = rows.model
    for name in (*names, *others):
        primary_key = model._meta.pk
        try:
            field: Any = primary_key if name == "pk" else model._meta.get_field(name)
        except FieldDoesNotExist:
            return None
        path.append(field.name)
        if isinstance(field, VaultFieldMixin):
            return LOOKUP_SEP.join(path)
        steps = getattr(field, "path_infos", None)
        if not steps:
            return None
        model = steps[-1].to_opts.model
    return None


def reaches_encrypted_field(model: Any) -> bool:
    """Whether relations lead from ``model``, however many, to a model with an encrypted field."""
    seen: set[Any] = set()
    unseen = [model]
    while unseen:
        here = unseen.pop()
        seen.add(here)
        for field in here._meta.get_fields(include_hidden=True):
            if isinstance(field, VaultFieldMixin):
                return True
            there = getattr(field, "related_model", None)
            if isinstance(there, type) and there not in seen:
                unseen.append(there)
    return False


def _output_field(expression: Any) -> Any:
    try:
        return expression.output_field
    except (AttributeError, FieldError):
        return None
