"""The package's tables: wrapped keys, shared between processes, runs of maintenance, and who saw what.

They hold no key material in clear, and no value.
"""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

__all__ = [
    "AccessChain",
    "AccessRecord",
    "DataKeyRecord",
    "IndexKeyRecord",
    "IndexKeyTurn",
    "MaintenanceChunk",
    "MaintenanceRun",
    "VaultCheck",
]


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
    carried = models.BinaryField(null=True, help_text="The root key of another vault, sealed.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "index root key"
        constraints = [
            models.UniqueConstraint(fields=["vault", "version"], name="workos_vault_one_root_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.vault}: index root key {self.version}"


class IndexKeyTurn(models.Model):
    """A version of index root keys: its row is locked while one is stored. Written by ``registry`` only."""

    version = models.PositiveIntegerField(primary_key=True)
    taken = models.PositiveIntegerField(default=0, help_text="How often, so far.")

    class Meta:
        verbose_name = "turn of index root keys"
        default_permissions = ()

    def __str__(self) -> str:
        return f"index root keys {self.version}"


class _OfItsDatabase(models.Model):
    """A record that is read again where it was read, not from the replica that a router may name."""

    class Meta:
        abstract = True

    def refresh_from_db(self, using: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Refresh it from its own database unless ``using`` names another."""
        super().refresh_from_db(using or self._state.db, *args, **kwargs)


class MaintenanceRun(_OfItsDatabase):
    """Columns on their way from one state to another. Written by ``maintenance.engine`` only.

    It is in the database of its rows, so that a batch and the count of it commit together.
    """

    class State(models.TextChoices):
        RUNNING = "running", _("running")
        PAUSED = "paused", _("paused")
        CANCELLED = "cancelled", _("cancelled")
        FINISHED = "finished", _("finished")
        FAILED = "failed", _("failed")

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


class MaintenanceChunk(_OfItsDatabase):
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


class AccessRecord(models.Model):
    """One look at plaintext, or an attempt at one. Written by ``access`` only, and never changed.

    ``mac`` is an HMAC over every other column, ``previous`` the ``mac`` of the record before.
    """

    class Action(models.TextChoices):
        """What was done, or tried."""

        REVEAL = "reveal", _("revealed")
        MATCH = "match", _("compared")
        EXPORT = "export", _("revealed to a file")
        DENIED = "denied", _("denied")
        CHANGE = "change", _("changed in bulk")
        SHELL = "shell", _("opened in a shell")
        PRUNE = "prune", _("records pruned")

    sequence = models.PositiveBigIntegerField(_("number"), unique=True)
    at = models.DateTimeField(_("when"))
    action = models.CharField(_("what"), max_length=10, choices=Action)
    user_pk = models.CharField(_("user id"), max_length=100, blank=True)
    username = models.CharField(_("who"), max_length=200, blank=True)
    model = models.CharField(_("model"), max_length=200, blank=True)
    object_pk = models.CharField(_("row"), max_length=200, blank=True)
    field = models.CharField(_("field"), max_length=200, blank=True)
    vault = models.CharField(_("vault"), max_length=100, blank=True)
    reason = models.CharField(_("why"), max_length=500, blank=True)
    outcome = models.CharField(_("outcome"), max_length=200, blank=True)
    remote_address = models.CharField(_("from where"), max_length=100, blank=True)
    view = models.CharField(_("by which view"), max_length=200, blank=True)
    previous = models.CharField(max_length=64)
    mac = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("access record")
        verbose_name_plural = _("access records")
        ordering = ["-sequence"]
        indexes = [models.Index(fields=["user_pk", "action", "at"], name="workos_vault_access_of_user")]

    def __str__(self) -> str:
        return f"{self.sequence}: {self.get_action_display()}"


class AccessChain(models.Model):
    """Both ends of the chain of access records: the newest, and the last that was pruned. One row.

    ``proof`` is an HMAC over the other columns, so that an end cannot be moved without the key.
    """

    sequence = models.PositiveBigIntegerField()
    mac = models.CharField(max_length=64)
    pruned_sequence = models.PositiveBigIntegerField()
    pruned_mac = models.CharField(max_length=64)
    proof = models.CharField(max_length=64)

    class Meta:
        verbose_name = "chain of access records"
        default_permissions = ()

    def __str__(self) -> str:
        return f"access records {self.pruned_sequence + 1} to {self.sequence}"


class VaultCheck(models.Model):
    """What ``vault_check`` found last, for the Vault page of the admin: one row, written by ``overview``."""

    at = models.DateTimeField()
    problems = models.PositiveIntegerField()
    findings = models.JSONField(default=list)

    class Meta:
        verbose_name = _("vault")
        verbose_name_plural = _("Vault")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"vault_check of {self.at:%Y-%m-%d %H:%M}"
