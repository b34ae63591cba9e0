"""Dates and times. Every value of a type is sealed in the same number of bytes."""

import datetime as dt
import warnings
from typing import Any

from django.utils import timezone

from django_workos_vault import conf
from django_workos_vault.fields.encodings.base import Encoding, Prepare
from django_workos_vault.fields.encodings.numbers import integer_from

_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)
_NAIVE, _AWARE = b"\x00", b"\x01"


class Date(Encoding):
    """The proleptic Gregorian ordinal (``date.toordinal()``), four bytes."""

    varies_in_length = False

    def encode(self, value: dt.date) -> bytes:
        return value.toordinal().to_bytes(4, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        return dt.date.fromordinal(integer_from(plaintext, 4))


class Time(Encoding):
    """Microseconds since midnight, eight bytes. Times have no zone, as in Django's columns."""

    varies_in_length = False

    def encode(self, value: dt.time) -> bytes:
        if value.tzinfo is not None:
            raise ValueError("Django does not support timezone-aware times.")
        since_midnight = dt.datetime.combine(_EPOCH, value) - _EPOCH
        return (since_midnight // _MICROSECOND).to_bytes(8, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        moment = _EPOCH + integer_from(plaintext, 8) * _MICROSECOND
        if moment.date() != _EPOCH.date():
            raise ValueError("more than a day")
        return moment.time()


class DateTime(Encoding):
    """One byte that tells aware from naive, then microseconds since 1970 in eight; aware ones in UTC.

    With ``USE_TZ`` a naive value is taken for one in the default time zone, with Django's warning, and UTC
    comes back.
    """

    varies_in_length = False

    def __init__(self, field: Any) -> None:
        self._field = field

    def prepare(self, value: Any, prepare: Prepare) -> Any:
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            value = dt.datetime(value.year, value.month, value.day)
        value = self._field.to_python(value)
        if value is not None and conf.uses_time_zones() and timezone.is_naive(value):
            # Django's own warning quotes the value.
            warnings.warn(
                f"DateTimeField {self._field} received a naive datetime while time zone support is active.",
                RuntimeWarning,
                stacklevel=2,
            )
            value = timezone.make_aware(value, timezone.get_default_timezone())
        return prepare(value)

    def encode(self, value: dt.datetime) -> bytes:
        kind = _NAIVE
        if timezone.is_aware(value):
            if not conf.uses_time_zones():
                raise ValueError("No timezone-aware datetimes when USE_TZ is False.")
            kind, value = _AWARE, value.astimezone(dt.UTC).replace(tzinfo=None)
        return kind + ((value - _EPOCH) // _MICROSECOND).to_bytes(8, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        value = _EPOCH + integer_from(plaintext[1:], 8) * _MICROSECOND
        aware = {_NAIVE: False, _AWARE: True}[plaintext[:1]]
        # The default zone, in which encode() took naive values: the current one may be a visitor's.
        zone = timezone.get_default_timezone()
        if conf.uses_time_zones():
            return value.replace(tzinfo=dt.UTC) if aware else timezone.make_aware(value, zone)
        return timezone.make_naive(value.replace(tzinfo=dt.UTC), zone) if aware else value


class Duration(Encoding):
    """Microseconds, nine bytes: more than the longest ``timedelta`` needs."""

    varies_in_length = False

    def __init__(self, to_python: Prepare) -> None:
        self._to_python = to_python

    def prepare(self, value: Any, prepare: Prepare) -> Any:
        return self._to_python(prepare(value))

    def encode(self, value: dt.timedelta) -> bytes:
        return (value // _MICROSECOND).to_bytes(9, signed=True)

    def decode(self, plaintext: bytes) -> Any:
        return integer_from(plaintext, 9) * _MICROSECOND
