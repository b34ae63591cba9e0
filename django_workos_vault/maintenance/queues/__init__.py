"""The chunks of a run as tasks of a queue that a project has already: Celery's, or Django's own.

A message holds the number of a run and a database alias, and nothing else. Each does one chunk and sends the
next one; which chunk that is, and that none is done twice, is the engine's business.
"""

from django_workos_vault.maintenance.queues.turn import QueueRefused, Turn, one_turn

__all__ = ["QueueRefused", "Turn", "one_turn"]
