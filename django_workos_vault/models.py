"""The package's tables: wrapped keys, shared between processes, and runs of maintenance.

They hold no key material in clear, and no value.
"""

from django.db import models


class DataKeyRecord(models.Model):
    """One data key of one (vault, key context). Written by ``registry`` only."""

    vault = models.CharField(max_length=100)
    context_digest = models.CharField(max_length=64)
    generation = models.PositiveIntegerField(help_text="1, 2, 3, … for each vault and key context.")
    key_context = models.JSONField()
    commitment = models.CharField(max_length=64, unique=True)
    proof = models.CharField(max_length=64)
    key_id = models.CharField(max_length=200)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField()
    messages = models.PositiveBigIntegerField(default=0, help_text="Messages leased from the key's budget.")

    class Meta:
        verbose_name = "data key"
        # One racer wins a generation, on every database: MariaDB has no partial unique indexes.
        constraints = [
            models.UniqueConstraint(
                fields=["vault", "context_digest", "generation"], name="workos_vault_one_key_a_generation"
            )
        ]

    def __str__(self) -> str:
        return f"{self.vault}: data key {self.key_id}"


class IndexKeyRecord(models.Model):
    """The root key of one vault's blind indexes, one per version. Written by ``registry`` only.

    A table of its own, because unlike data keys nothing can replace a lost one: its digests are in the cells.
    """

    vault = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    key_context = models.JSONField()
    proof = models.CharField(max_length=64)
    key_id = models.CharField(max_length=200)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "index root key"
        constraints = [
            models.UniqueConstraint(fields=["vault", "version"], name="workos_vault_one_root_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.vault}: index root key {self.version}"


class MaintenanceRun(models.Model):
    """Columns on their way from one state to another. Written by ``maintenance.engine`` only.

    It is in the database of its rows, so that a batch and the count of it commit together.
    """

    class State(models.TextChoices):
        RUNNING = "running", "running"
        PAUSED = "paused", "paused"
        CANCELLED = "cancelled", "cancelled"
        FINISHED = "finished", "finished"
        FAILED = "failed", "failed"

    operation = models.CharField(max_length=40)
    targets = models.JSONField(help_text="The columns, as app.Model.field.")
    options = models.JSONField(default=dict)
    fingerprint = models.CharField(max_length=64, help_text="Of the declarations of the columns.")
    state = models.CharField(max_length=20, choices=State.choices, default=State.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it is paused, or failed.")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    rows_estimate = models.PositiveBigIntegerField(default=0)
    next_ordinal = models.PositiveIntegerField(default=0, help_text="The number of chunks made so far.")
    next_model = models.PositiveIntegerField(default=0, help_text="Of which model the next chunk is.")
    next_lower = models.TextField(blank=True, help_text="Behind which key it begins, as JSON.")

    class Meta:
        verbose_name = "maintenance run"

    def __str__(self) -> str:
        return f"run {self.pk}: {self.operation} of {', '.join(self.targets)}"


class MaintenanceChunk(models.Model):
    """A range of one model's primary keys, and how far the work on it is.

    Keys are JSON lists of texts, one for each column of the key; an empty text is no bound.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        CLAIMED = "claimed", "claimed"
        DONE = "done", "done"

    run = models.ForeignKey(MaintenanceRun, models.CASCADE, related_name="chunks")
    ordinal = models.PositiveIntegerField()
    model = models.CharField(max_length=200)
    lower = models.TextField(blank=True, help_text="The key behind which it begins.")
    upper = models.TextField(blank=True, help_text="The last key in it.")
    position = models.TextField(blank=True, help_text="The last key that is done.")
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    worker = models.CharField(max_length=100, blank=True)
    lease_until = models.FloatField(default=0, help_text="Seconds since 1970-01-01 UTC.")
    rows_done = models.PositiveBigIntegerField(default=0)
    keys_made = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)
    left = models.JSONField(default=list)

    class Meta:
        verbose_name = "maintenance chunk"
        constraints = [
            models.UniqueConstraint(fields=["run", "ordinal"], name="workos_vault_one_chunk_an_ordinal")
        ]
        indexes = [models.Index(fields=["run", "state"], name="workos_vault_chunk_state")]

    def __str__(self) -> str:
        return f"chunk {self.ordinal} of run {self.run_id}"
