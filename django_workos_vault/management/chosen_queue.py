"""The queue that ``vault_reencrypt`` was asked to send its chunks to."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from django.core.management.base import CommandError


def chosen_queue(options: Mapping[str, Any]) -> Any:
    """Return the module of the queue that was asked for, once it can be used; None for none."""
    queue: Any = None
    if options["celery"]:
        if find_spec("celery") is None:
            raise CommandError('--celery needs Celery: pip install "django-workos-vault[celery]".')
        from django_workos_vault.maintenance.queues import on_celery as queue
    elif options["tasks"]:
        if find_spec("django.tasks") is None:
            raise CommandError("--tasks needs Django 6.0 or newer.")
        from django_workos_vault.maintenance.queues import on_tasks as queue
    if queue is not None:
        queue.check()
    return queue
