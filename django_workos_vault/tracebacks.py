"""Error reports without the values of encrypted fields: a filter for Django's, and one for Sentry's.

Frames of this package forget their locals when they raise (see ``frame_locals``). Frames of Django, of other
libraries and of the project hold the values that were to be written or looked for; only what shows them can
leave them out.
"""

import re
import sysconfig
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path, PurePath
from types import FrameType, FunctionType, ModuleType, TracebackType
from typing import Any
from uuid import UUID

import django
from django.apps import apps
from django.db.models import Field, Manager, Model, QuerySet
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.views.debug import SafeExceptionReporterFilter

from django_workos_vault.fields.vault_field import VaultField

__all__ = ["ExceptionReporterFilter", "before_send"]

HIDDEN = SafeExceptionReporterFilter.cleansed_substitute

#: Shown in frames of libraries: they say what was going on, and never what a value was.
_NEVER_VALUES = (type(None), type, FunctionType, ModuleType, Field, Manager)
#: Shown in the project's own frames, unless their name is that of an encrypted field.
_PLAIN = (str, bytes, int, float, Decimal, date, time, timedelta, UUID, PurePath, *_NEVER_VALUES)
_DEPTH = 5
_BETWEEN_NAMES = re.compile(r"__|[^\w]+")


@cache
def _library_folders() -> tuple[str, ...]:
    installed = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    packages = {str(Path(file).parent) for file in (django.__file__, __file__) if file}
    return tuple(f"{folder}/" for folder in installed | packages)


def is_library(filename: str) -> bool:
    """Whether a frame's code is that of an installed package, or of no file, rather than the project's."""
    return filename.startswith(("<", *_library_folders()))


def encrypted_names() -> frozenset[str]:
    """Return the names of all fields whose values are kept in or sealed with a vault."""
    return _names_in(tuple(apps.get_models()))


@cache
def _names_in(models: tuple[type[Model], ...]) -> frozenset[str]:
    fields = (field for model in models for field in model._meta.concrete_fields)
    return frozenset(field.name for field in fields if isinstance(field, VaultField))


def names_a_secret(key: object) -> bool:
    """Whether ``key`` is the name of such a field, a lookup of one, or a name that a form makes of it.

    Formsets, nested serializers and widgets of several inputs do: ``visits-0-seen_1``, ``person.ssn``.
    """
    if not isinstance(key, str):
        return False
    names = encrypted_names()
    if key in names:
        return True
    parts = _BETWEEN_NAMES.split(key.lower())
    return any(
        part == name or part.startswith(f"{name}_") for part in parts for name in map(str.lower, names)
    )


def concealed(value: Any, depth: int = _DEPTH) -> Any:
    """Return ``value``, a local of the project's code, as it may be shown. No query is run for that."""
    if isinstance(value, Model):
        return f"<{value._meta.label} {value.__dict__.get(value._meta.pk.attname)}>"
    if isinstance(value, QuerySet):
        return f"<QuerySet of {value.model._meta.label}>"
    if depth and isinstance(value, MultiValueDict):
        return {key: HIDDEN if names_a_secret(key) else value.getlist(key) for key in value}
    if depth and isinstance(value, Mapping):
        return {
            key: HIDDEN if names_a_secret(key) else concealed(item, depth - 1)
            for key, item in dict(value).items()
        }
    if isinstance(value, tuple) and len(value) == 2 and names_a_secret(value[0]):
        return value[0], HIDDEN
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [concealed(item, depth - 1) for item in value]
    if isinstance(value, HttpRequest):
        return f"<{type(value).__qualname__} {value.method} {value.path}>"  # not what stands behind the path
    show_of_itself: Any = type(value).__repr__
    if isinstance(value, _PLAIN) or show_of_itself is object.__repr__:
        return value
    return f"<{type(value).__qualname__} object>"  # what it shows of itself may be a value


def frame_variables(frame: FrameType) -> dict[str, Any]:
    """Return the locals of ``frame`` as they may be shown."""
    variables = frame.f_locals.items()
    if is_library(frame.f_code.co_filename):
        return {name: value if isinstance(value, _NEVER_VALUES) else HIDDEN for name, value in variables}
    return {name: HIDDEN if names_a_secret(name) else concealed(value) for name, value in variables}


class ExceptionReporterFilter(SafeExceptionReporterFilter):
    """Keeps the values of encrypted fields out of Django's error pages and mails.

    For the setting ``DEFAULT_EXCEPTION_REPORTER_FILTER``. Frames of Django and of other libraries show no
    values at all; the project's own frames, and ``request.POST``, none that goes by the name of an encrypted
    field, and of instances only the primary key. Like Django's own filter it is off under ``DEBUG``.
    """

    def get_traceback_frame_variables(self, request: Any, tb_frame: FrameType) -> Any:
        variables = super().get_traceback_frame_variables(request, tb_frame)
        if not self.is_active(request):
            return variables
        may_be_shown = frame_variables(tb_frame)
        return [
            (name, value if value == HIDDEN else may_be_shown.get(name, HIDDEN)) for name, value in variables
        ]

    def get_post_parameters(self, request: Any) -> Any:
        return self._without_secrets(request, super().get_post_parameters(request))

    def get_cleansed_multivaluedict(self, request: Any, multivaluedict: Any) -> Any:
        return self._without_secrets(request, super().get_cleansed_multivaluedict(request, multivaluedict))

    def _without_secrets(self, request: Any, parameters: Any) -> Any:
        if not (self.is_active(request) and any(map(names_a_secret, parameters))):
            return parameters
        parameters = parameters.copy()
        for name in filter(names_a_secret, list(parameters)):
            parameters[name] = HIDDEN
        return parameters


def before_send(event: Any, hint: Mapping[str, Any]) -> Any:
    """Return a Sentry ``event`` without the values of encrypted fields: ``sentry_sdk.init(before_send=...)``.

    The same rules as for Django's reports, for every stack trace in the event; the request's body and the
    breadcrumbs lose what goes by the name of an encrypted field.
    """
    live = {
        (frame.f_code.co_filename, frame.f_code.co_name, line): frame_variables(frame)
        for frame, line in _frames(hint.get("exc_info"))
    }
    for holder in ("exception", "threads"):
        for item in (event.get(holder) or {}).get("values", ()):
            for frame in (item.get("stacktrace") or {}).get("frames", ()):
                _conceal_frame(frame, live)
    request = event.get("request") or {}
    if "data" in request:
        data = request["data"]
        request["data"] = concealed(data) if isinstance(data, dict | list) else HIDDEN
    for crumb in (event.get("breadcrumbs") or {}).get("values", ()):
        if isinstance(crumb.get("data"), dict):
            crumb["data"] = concealed(crumb["data"])
    return event


def _conceal_frame(frame: dict[str, Any], live: dict[tuple[Any, ...], dict[str, Any]]) -> None:
    if "vars" not in frame:
        return
    found = live.get((frame.get("abs_path"), frame.get("function"), frame.get("lineno")), {})
    # What there is no live frame for was made into text already: nothing tells what it was.
    frame["vars"] = {name: repr(found[name]) if name in found else HIDDEN for name in frame["vars"]}


def _frames(exc_info: Any) -> Iterator[tuple[FrameType, int]]:
    error: BaseException | None = exc_info[1] if exc_info else None
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback: TracebackType | None = error.__traceback__
        while traceback is not None:
            yield traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
        error = error.__cause__ or error.__context__
