"""Chunks as tasks of Django's tasks framework, ``django.tasks``. Imported only from Django 6.0 on."""

from datetime import timedelta

from django.tasks import default_task_backend, task
from django.utils import timezone

from django_workos_vault.maintenance.queues.turn import LOOKS_AGAIN, QueueRefused, Turn, one_turn


@task
def one_chunk(number: int, using: str) -> None:
    """Do one chunk of a run, and enqueue the task that does the next one."""
    turn = one_turn(number, using)
    if turn is Turn.NEXT:
        one_chunk.enqueue(number, using)
    elif turn is Turn.LATER:
        later = timezone.now() + timedelta(seconds=LOOKS_AGAIN)
        one_chunk.using(run_after=later).enqueue(number, using)


def check() -> None:
    """Raise QueueRefused where tasks would run at once, in this process."""
    if not default_task_backend.supports_defer:
        raise QueueRefused(
            "The default backend in TASKS runs tasks at once, or cannot run one later: run without --tasks, "
            "or name one with workers, such as django_tasks_db.DatabaseBackend."
        )


def send(number: int, using: str) -> None:
    """Put one task on the queue."""
    one_chunk.enqueue(number, using)
