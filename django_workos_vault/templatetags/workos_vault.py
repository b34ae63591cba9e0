"""``{% load workos_vault %}``: masks, and values that may not be readable, in templates."""

import logging
from typing import Any

from django import template
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model

from django_workos_vault import reading
from django_workos_vault.masks import FULL

logger = logging.getLogger(__name__)
register = template.Library()


@register.simple_tag
def value_or(instance: Model, name: str, default: Any = "", outage: bool = False) -> Any:
    """``{% value_or patient "ssn" "not readable" %}``: see :func:`django_workos_vault.reading.value_or`."""
    return reading.value_or(instance, name, default, outage=outage)


@register.filter
def value_or_none(instance: Model, name: str) -> Any:
    """``{{ patient|value_or_none:"ssn"|default_if_none:"-" }}``: the value, None when it cannot be had."""
    return reading.value_or(instance, name)


@register.filter
def masked(instance: Any, path: str) -> str | None:
    """``{{ patient|masked:"ssn" }}``: see :func:`django_workos_vault.reading.masked`.

    What is no encrypted field is masked whole, and the log says so: a page is no place for such an error.
    """
    if not isinstance(instance, Model):
        return None  # as for a variable that does not exist
    try:
        return reading.masked(instance, path)
    except FieldDoesNotExist as exc:
        logger.error("A template masks what is no encrypted field. %s", exc)
        return FULL
