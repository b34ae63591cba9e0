"""What to declare in the place of what ciphertext cannot do: the hints of checks and errors."""

from hashlib import sha256
from typing import Any

from django.db.models import BooleanField

from django_workos_vault.blind import Kind

#: A digest of one of fewer choices is as good as the value: whoever sees the counts can name them.
FEWEST_CHOICES = 20

#: Which blind index answers a lookup of Django's, and by which lookup where it has a name of its own.
_ANSWERED_BY = {
    "exact": ("Exact()", ""),
    "in": ("Exact()", ""),
    "iexact": ("CaseFolded()", ""),
    "startswith": ("FirstCharacters(count=3)", "first3"),
    "endswith": ("LastCharacters(count=4)", "last4"),
}
_OF_TEXT = {"startswith", "endswith"}


class IndexAdvice:
    """Which blind indexes, and which indexes over them, a field should have instead."""

    def __init__(self, field: Any) -> None:
        self._field = field

    @property
    def would_reveal(self) -> bool:
        """Whether a digest would reveal the value: each is one of few."""
        return (
            isinstance(self._field, BooleanField) or 0 < len(self._field.flatchoices or ()) < FEWEST_CHOICES
        )

    def of_unique(self) -> str:
        """Return what to write instead of ``unique=True``."""
        return self._in_meta("constraints", "UniqueConstraint", "uniq")

    def of_db_index(self) -> str:
        """Return what to write instead of ``db_index=True``."""
        return self._in_meta("indexes", "Index", "idx")

    def of_ciphertext_in(self, item: str) -> str:
        """Return what to write where the index or constraint ``item``, or unique_together, has the field."""
        if self.would_reveal:
            return f"Take {self._field.name} out of {item}."
        give = "" if self._exact_kind else f"{self.give_kind()}, and put "
        if item != "unique_together":
            return f"{give or 'Put '}{self._exact} in the place of the field in {item}, as an expression."
        options = self._field.model._meta
        together = next(names for names in options.unique_together if self._field.name in names)
        others = [options.get_field(name) for name in together if name != self._field.name]
        parts = ", ".join([self._exact, *(_part(other) for other in others)])
        return (
            f"{give or 'Put '}this in the place of unique_together, with django_workos_vault.indexes: "
            f'constraints = [models.UniqueConstraint({parts}, name="{self._name("uniq")}")]'
        )

    def give_kind(self) -> str:
        """Return how the field gets a blind index that answers ``exact``."""
        if self._field.blind_indexes:
            return "Append Exact() to the field's blind_indexes"
        return "Give the field blind_indexes=[Exact()]"

    def of_lookup(self, name: str) -> str:
        """Return which blind index would answer the lookup ``name``, or what to do where none can."""
        field = self._field
        if name == "iexact" and not field.digests.holds_text:
            name = "exact"  # only text has cases
        kind, asked = _ANSWERED_BY.get(name, ("", ""))
        asks_text = name in _OF_TEXT and not field.digests.compare_texts
        if not kind or asks_text or self.would_reveal:
            return "No blind index answers this one: narrow the rows down otherwise, and compare in Python."
        asked = f", and ask {field.name}__{asked}" if asked else ""
        if field.blind_indexes:
            return f"Append {kind} to the field's blind_indexes, of django_workos_vault.indexes{asked}."
        return f"Declare blind_indexes=[{kind}] on the field, of django_workos_vault.indexes{asked}."

    def index_of(self, kind: Kind) -> str:
        """Return the index of the table over the blind index ``kind``."""
        suffix = f"{kind.name[:12]}{'' if kind.version == 1 else kind.version}"
        return f"models.Index({self._expression(kind)}, name={self._name(suffix)!r})"

    def _in_meta(self, option: str, what: str, suffix: str) -> str:
        if self.would_reveal:
            return "Take it away: with so few values, a blind index would reveal them."
        if self._exact_kind:
            give = "Give the model's Meta"
        elif self._field.blind_indexes:
            give = f"{self.give_kind()} and give the model's Meta"
        else:
            give = f"{self.give_kind()} and the model's Meta"
        return (
            f"{give} {option} = "
            f'[models.{what}({self._exact}, name="{self._name(suffix)}")], both from '
            "django_workos_vault.indexes."
        )

    @property
    def _exact(self) -> str:
        kind, name = self._exact_kind, self._field.name
        if kind is not None:
            return self._expression(kind)
        return f'BlindIndex("{name}", "exact")' if self._field.blind_indexes else f'BlindIndex("{name}")'

    @property
    def _exact_kind(self) -> Kind | None:
        kinds = (kind for _, kind in self._field.digests.slots if isinstance(kind, Kind))
        return next((kind for kind in kinds if "exact" in (kind.name, *kind.lookups)), None)

    def _expression(self, kind: Kind) -> str:
        version = f", version={kind.version}" if kind.version != 1 else ""
        return f'BlindIndex("{self._field.name}", "{kind.name}"{version})'

    def _name(self, suffix: str) -> str:
        whole = f"{self._field.model._meta.model_name}_{self._field.name}".strip("_")
        room = 29 - len(suffix)  # an index has 30 characters
        if len(whole) > room:
            whole = f"{whole[: room - 5]}_{sha256(whole.encode()).hexdigest()[:4]}"
        return f"{whole}_{suffix}"


def _part(other: Any) -> str:
    # Another encrypted field is told by a check of its own, with the same constraint.
    return IndexAdvice(other)._exact if hasattr(other, "blind_indexes") else f'"{other.name}"'
