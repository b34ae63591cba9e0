"""For Django REST framework, beyond what its own classes do with encrypted fields."""

from typing import Any

from rest_framework import filters

from django_workos_vault.paths import encrypted_path


class OrderingFilter(filters.OrderingFilter):
    """REST framework's filter of that name, without orderings by encrypted columns, which have no order.

    It offers every field of the serializer unless told otherwise, and a visitor who asks for one that is
    encrypted would get an error of the server. Here such an ordering is passed over, as one by a field that
    does not exist.
    """

    def get_valid_fields(self, queryset: Any, view: Any, context: Any = None) -> Any:
        """Return the names that may be ordered by, with what they are called."""
        offered = super().get_valid_fields(queryset, view, {} if context is None else context)
        return [(name, title) for name, title in offered if encrypted_path(queryset, name) is None]
