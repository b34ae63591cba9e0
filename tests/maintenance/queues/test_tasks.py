"""``vault_reencrypt --tasks``: chunks as tasks of Django's tasks framework."""

import subprocess
import sys
from importlib.util import find_spec

import django
import pytest
from django.test import override_settings

from django_workos_vault import envelope
from django_workos_vault.fields import stored_cell
from django_workos_vault.maintenance.engine import runs
from tests.app.models import Person
from tests.maintenance.processes import in_databases_of_test
from tests.maintenance.reencrypting import failing

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*arguments: str) -> str:
    settings = "tests.maintenance.queues.tasks_settings"
    command = [sys.executable, "-m", "django", *arguments, "--settings", settings]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(
    django.VERSION < (6, 0) or find_spec("django_tasks_db") is None,
    reason="needs Django 6.0, and django-tasks-db",
)
def test_a_worker_process_does_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command enqueues, a worker of django-tasks-db works until nothing is left."""
    in_databases_of_test(monkeypatch)
    Person.objects.bulk_create([Person(ssn=f"{n}") for n in range(50)])
    before = {envelope.parse(stored_cell(row, "ssn")).commitment for row in Person.objects.all()}
    manage("migrate", "django_tasks_database", "-v", "0")
    told = manage("vault_reencrypt", "app.Person.ssn", "--tasks", "--batch-size", "10")
    run = runs.newest()[0]
    assert f"Run {run.pk} is on the queue, 1 at a time" in told
    assert run.state == "running"
    manage("db_worker", "--batch", "--no-startup-delay")
    run.refresh_from_db()
    assert run.state == "finished", run.reason
    assert runs.progress(run).counts["app.Person.ssn"].renewed == 50
    after = {envelope.parse(stored_cell(row, "ssn")).commitment for row in Person.objects.all()}
    assert after.isdisjoint(before)
    assert [row.ssn for row in Person.objects.order_by("pk")] == [f"{n}" for n in range(50)]


@pytest.mark.skipif(django.VERSION >= (6, 0), reason="there it works")
def test_an_older_django_is_told_before_anything_is_written() -> None:
    Person.objects.create(ssn="1")
    error, _ = failing("app.Person.ssn", tasks=True)
    assert str(error) == "--tasks needs Django 6.0 or newer."
    assert runs.newest() == []


@pytest.mark.skipif(django.VERSION < (6, 0), reason="needs Django 6.0")
def test_a_backend_without_workers_is_told_before_anything_is_written() -> None:
    """Django's default runs a task where it is enqueued, and would run one within the other."""
    Person.objects.create(ssn="1")
    with override_settings(
        TASKS={"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    ):
        error, _ = failing("app.Person.ssn", tasks=True)
    assert "runs tasks at once" in str(error)
    assert runs.newest() == []


def test_no_celery_is_told_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    Person.objects.create(ssn="1")
    monkeypatch.setattr("django_workos_vault.management.chosen_queue.find_spec", lambda name: None)
    for options, needed in ({"celery": True}, "django-workos-vault[celery]"), ({"tasks": True}, "Django 6.0"):
        error, _ = failing("app.Person.ssn", **options)
        assert needed in str(error)
    assert runs.newest() == []
