"""Tables for models that a test declares itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.models import Model


@contextmanager
def tables(*models: type[Model]) -> Iterator[None]:
    """Make the tables of ``models``, in this order, and drop them in the end."""
    with connection.schema_editor() as editor:
        for model in models:
            editor.create_model(model)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            for model in reversed(models):
                editor.delete_model(model)
