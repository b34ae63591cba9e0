"""The Celery app of a project, as its documentation has it, with a queue of the test run's own."""

import os

from celery import Celery
from kombu import Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

BROKER = os.environ.get("VAULT_TEST_BROKER", "amqp://guest:guest@127.0.0.1:5672//")
QUEUE = os.environ.get("VAULT_TEST_QUEUE", "vault_tests")

app = Celery("tests", broker=BROKER)
app.conf.task_default_queue = QUEUE
app.conf.task_queues = [Queue(QUEUE, queue_arguments={"x-expires": 120_000})]
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True
app.autodiscover_tasks()
