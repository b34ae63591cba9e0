"""``{% load workos_vault %}``: values that may not be readable, in templates."""

from typing import Any

from django import template
from django.db.models import Model

from django_workos_vault import reading

register = template.Library()


@register.simple_tag
def value_or(instance: Model, name: str, default: Any = "", outage: bool = False) -> Any:
    """``{% value_or patient "ssn" "not readable" %}``: see :func:`django_workos_vault.reading.value_or`."""
    return reading.value_or(instance, name, default, outage=outage)


@register.filter
def value_or_none(instance: Model, name: str) -> Any:
    """``{{ patient|value_or_none:"ssn"|default_if_none:"-" }}``: the value, None when it cannot be had."""
    return reading.value_or(instance, name)
