"""Chunks as Celery tasks. Imported only where Celery is: ``pip install "django-workos-vault[celery]"``.

Acknowledged late, and sent again when their worker is lost, as Celery's documentation has it for tasks that
may be begun twice: a chunk goes on where its last batch was committed.
"""

from celery import current_app, shared_task
from kombu.exceptions import OperationalError

from django_workos_vault.maintenance.queues.turn import LOOKS_AGAIN, QueueRefused, Turn, one_turn


@shared_task(  # type: ignore[untyped-decorator]
    name="django_workos_vault.one_chunk",
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
)
def one_chunk(number: int, using: str) -> None:
    """Do one chunk of a run, and send the task that does the next one."""
    turn = one_turn(number, using)
    if turn is Turn.NEXT:
        one_chunk.delay(number, using)
    elif turn is Turn.LATER:
        one_chunk.apply_async((number, using), countdown=LOOKS_AGAIN)


def check() -> None:
    """Raise QueueRefused where no broker takes messages."""
    try:
        with current_app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except (OperationalError, OSError) as exc:
        raise QueueRefused(
            f"Celery's broker does not answer ({type(exc).__name__}): see broker_url of the Celery app, "
            "which the project's own package must import."
        ) from None


def send(number: int, using: str) -> None:
    """Put one task on the queue."""
    one_chunk.delay(number, using)
