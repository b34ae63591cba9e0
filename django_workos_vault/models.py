"""The registry's tables: wrapped keys, shared between processes. They hold no key material in clear."""

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
