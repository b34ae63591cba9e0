"""For django-tables2: a column that shows masks."""

from typing import Any

import django_tables2
from django.db.models.constants import LOOKUP_SEP
from django.utils.text import capfirst

__all__ = ["MaskedColumn"]


class MaskedColumn(django_tables2.Column):  # type: ignore[misc]
    """Shows the mask of an encrypted field, in exports of the table too: ``ssn = MaskedColumn("ssn")``.

    ``path`` is the field's name, or leads to it: ``"patient__ssn"``. Other arguments are those of Column,
    without accessor and orderings.
    """

    def __init__(self, path: str, **kwargs: Any) -> None:
        *steps, name = path.split(LOOKUP_SEP)
        kwargs.setdefault("verbose_name", capfirst(name.replace("_", " ")))
        accessor = LOOKUP_SEP.join((*steps, f"get_{name}_masked"))
        super().__init__(accessor=accessor, orderable=False, **kwargs)
