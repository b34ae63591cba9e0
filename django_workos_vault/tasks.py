"""Where Celery's ``autodiscover_tasks()`` looks for an app's tasks. Without Celery there are none."""

from contextlib import suppress

with suppress(ImportError):
    from django_workos_vault.maintenance.queues.on_celery import one_chunk  # noqa: F401
