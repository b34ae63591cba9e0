"""The access records of a week, counted by day."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, Max, Q
from django.utils import timezone

from django_workos_vault import conf
from django_workos_vault.models import AccessRecord

DAYS = 7
#: the newest records, which are counted; no more are looked at
NEWEST = 10_000


@dataclass(frozen=True, slots=True)
class Day:
    """The records of one day: of what was denied, and of everything else."""

    day: date
    granted: int
    denied: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.granted + self.denied


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days, today the last. ``is_whole`` unless there are more records than are counted."""

    days: list[Day]
    is_whole: bool

    @property
    def total(self) -> int:
        """The records of all days."""
        return sum(day.total for day in self.days)


def week_of_accesses() -> Week:
    """Count the records of the last seven days, by the site's own days."""
    now = timezone.localtime() if conf.uses_time_zones() else timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    starts = [midnight - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    newest = AccessRecord.objects.aggregate(newest=Max("sequence"))["newest"] or 0
    recent = AccessRecord.objects.order_by().filter(sequence__gt=newest - NEWEST)
    denied = Q(action=AccessRecord.Action.DENIED)
    counts = recent.filter(at__gte=starts[0]).aggregate(
        **{f"all_{n}": Count("pk", filter=_within(start)) for n, start in enumerate(starts)},
        **{f"denied_{n}": Count("pk", filter=_within(start) & denied) for n, start in enumerate(starts)},
    )
    days = [
        Day(start.date(), counts[f"all_{n}"] - counts[f"denied_{n}"], counts[f"denied_{n}"])
        for n, start in enumerate(starts)
    ]
    is_whole = newest <= NEWEST or recent.filter(at__lt=starts[0]).exists()
    return Week(days, is_whole)


def _within(start: datetime) -> Q:
    return Q(at__gte=start, at__lt=start + timedelta(days=1))


def bars(week: Week) -> list[dict[str, object]]:
    """Return where the bars of a chart of ``week`` stand, in the units of its 350 by 130 view box."""
    most = max(1, *(day.total for day in week.days))
    shown = []
    for n, day in enumerate(week.days):
        granted, denied = (round(95 * number / most) for number in (day.granted, day.denied))
        shown.append(
            {
                "day": day,
                "x": 7 + 50 * n,
                "middle": 25 + 50 * n,
                "granted_y": 110 - granted,
                "granted_height": granted,
                "denied_y": 110 - granted - denied,
                "denied_height": denied,
            }
        )
    return shown
