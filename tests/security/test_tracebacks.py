"""Django's error reports and Sentry's events show no values of encrypted fields, whatever fails."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import sentry_sdk
from django.core.checks import run_checks
from django.db import IntegrityError, connection, transaction
from django.forms import modelform_factory
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from rest_framework.serializers import ModelSerializer
from sentry_sdk.transport import Transport

from django_workos_vault.tracebacks import ExceptionReporterFilter, before_send, concealed, names_a_secret
from tests.app.models import Account, Credential, Person

pytestmark = pytest.mark.django_db

SECRET = "123-45-6789"


class PersonSerializer(ModelSerializer):
    class Meta:
        model = Person
        fields = ["ssn", "notes"]


def bulk_update() -> None:
    person = Person(pk=1)
    person.ssn = SECRET
    Person.objects.bulk_update([person], ["ssn"])


def refused_by_the_database() -> None:
    with transaction.atomic():
        Person.objects.create(ssn=SECRET, name="nobody")
        connection.check_constraints()


def project_code_fails() -> None:
    ssn = SECRET  # noqa: F841
    cleaned_data = {"ssn": SECRET, "nested": [{"person__ssn": SECRET}], "pairs": [("ssn", SECRET)]}
    person = Person(ssn=SECRET, name=SECRET)
    people = [person]
    serializer = PersonSerializer(data={"ssn": SECRET})
    rows = Person.objects.filter(name=SECRET)
    raise LookupError(len(cleaned_data) + len(people) + bool(serializer) + bool(rows.query))


def invalid_form() -> None:
    form = modelform_factory(Person, fields=["ssn", "notes"])({"ssn": SECRET, "notes": SECRET})
    form.is_valid()
    form.save()


def serializer_save() -> None:
    serializer = PersonSerializer(data={"ssn": SECRET, "notes": SECRET})
    serializer.is_valid(raise_exception=True)
    serializer.save()


OUTAGES: dict[str, Callable[[], Any]] = {
    "create": lambda: Person.objects.create(ssn=SECRET),
    "save": lambda: Person(ssn=SECRET).save(),
    "get": lambda: Account.objects.get(login=SECRET),
    "filter": lambda: list(Account.objects.filter(login__in=[SECRET, "other"])),
    "get_or_create": lambda: Account.objects.get_or_create(login=SECRET),
    "get_or_create with defaults": lambda: Person.objects.get_or_create(name="x", defaults={"ssn": SECRET}),
    "update_or_create": lambda: Person.objects.update_or_create(name="x", defaults={"ssn": SECRET}),
    "update": lambda: Person.objects.update(ssn=SECRET),
    "bulk_create": lambda: Person.objects.bulk_create([Person(ssn=SECRET)]),
    "bulk_update": bulk_update,
    "full_clean": lambda: Account(login=SECRET, email="ada@example.com").full_clean(),
    "form": invalid_form,
    "serializer": serializer_save,
    "object": lambda: Credential.objects.create(token=SECRET),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "database": refused_by_the_database,
    "project": project_code_fails,
    "type": lambda: Person.objects.create(ssn=SECRET, no_such_field=1),
    "lookup": lambda: Person.objects.filter(ssn__contains=SECRET),
    "none": lambda: Person.objects.get(pk=-1, name=SECRET),
}
UNREACHABLE = {
    "default": {
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {"app": "tests"},
        "OPTIONS": {"api_key": "sk_" + "test_attack", "base_url": "http://127.0.0.1:9", "deadline": 0.2},
    }
}


def exc_info_of(way: str) -> Any:
    try:
        if way in OTHERS:
            OTHERS[way]()
        with override_settings(WORKOS_VAULTS=UNREACHABLE):
            OUTAGES[way]()
    except Exception:
        return sys.exc_info()
    raise AssertionError("Nothing failed.")


def request_of(data: Any) -> Any:
    return RequestFactory().post("/people/?page=2", data)


def report(info: Any, request: Any = None) -> ExceptionReporter:
    reporter = ExceptionReporter(request, *info)
    assert type(reporter.filter) is ExceptionReporterFilter
    return reporter


CHAINED = ["create", "get", "bulk_update", "project"]


@pytest.mark.parametrize(
    ("way", "in_chain"), [*((way, False) for way in (*OUTAGES, *OTHERS)), *((way, True) for way in CHAINED)]
)
def test_djangos_report_shows_no_value(way: str, in_chain: bool) -> None:
    """Neither the page nor the mail has the value: not in frames of Django, of ours or of the project."""
    info = exc_info_of(way)
    if in_chain:
        try:
            raise LookupError("while reporting") from info[1]
        except LookupError:
            info = sys.exc_info()
    request = request_of({"ssn": SECRET, "form-0-ssn": SECRET, "page": "the page"})
    reporter = report(info, request)
    html, text = reporter.get_traceback_html(), reporter.get_traceback_text()
    assert info[0].__name__ in text
    assert SECRET not in html
    assert SECRET not in text
    assert "the page" in text


@pytest.mark.parametrize("way", ["create", "get", "project"])
def test_without_the_filter_values_are_shown(way: str) -> None:
    """Or these tests would prove nothing."""
    reporter = ExceptionReporter(request_of({}), *exc_info_of(way))
    reporter.filter = SafeExceptionReporterFilter()
    assert SECRET in reporter.get_traceback_html()


def test_what_is_no_secret_is_shown() -> None:
    """A report is still of use: types, names, keys of instances and other values are there."""

    def view(page: int) -> None:
        person = Person(pk=71, ssn=SECRET)
        rows = Person.objects.all()
        raise LookupError(page + bool(person) + bool(rows.query))

    try:
        view(4711)
    except LookupError:
        html = report(sys.exc_info()).get_traceback_html()
    for shown in ("4711", "app.Person 71", "QuerySet of app.Person"):
        assert shown in html


class Collected(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.events += [item.payload.json for item in envelope.items if item.type == "event"]


def sentry_event(way: str, **options: Any) -> Any:
    collected = Collected()
    client = sentry_sdk.Client(
        dsn="https://key@sentry.invalid/1",
        transport=collected,
        default_integrations=False,
        attach_stacktrace=True,
        **options,
    )
    scope = sentry_sdk.Scope(client=client)
    with sentry_sdk.scope.use_isolation_scope(scope):
        scope.add_breadcrumb(message="form", data={"ssn": SECRET, "page": "the page"})
        scope.add_event_processor(_with_request)
        scope.capture_exception(exc_info_of(way))
    client.close()
    [event] = collected.events
    return event


def _with_request(event: Any, hint: Any) -> Any:
    event["request"] = {"url": "https://example.com/", "data": {"form-0-ssn": SECRET, "page": "the page"}}
    return event


@pytest.mark.parametrize("way", [*OUTAGES, *OTHERS])
def test_sentrys_event_has_no_value(way: str) -> None:
    """The real SDK's event, with locals, body and breadcrumbs, goes out without the value."""
    event = sentry_event(way, before_send=before_send)
    assert SECRET not in str(event)
    assert event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert "the page" in str(event["request"])


def test_without_the_hook_sentrys_event_has_values() -> None:
    """Or the test above would prove nothing."""
    assert SECRET in str(sentry_event("project"))


def test_threads_and_bodies_of_text_are_hidden() -> None:
    """What is text already cannot be told apart: a stack without its frames, a body that was not parsed."""
    frame = {"abs_path": "/x.py", "lineno": 1, "function": "f", "vars": {"x": SECRET}}
    event: Any = {
        "threads": {"values": [{"stacktrace": {"frames": [frame]}}]},
        "request": {"data": f"ssn={SECRET}"},
    }
    assert SECRET not in str(before_send(event, {}))


def test_an_error_report_runs_no_query_and_opens_nothing(django_assert_num_queries: Any) -> None:
    """Reports are made when something is broken already."""
    with django_assert_num_queries(0):
        shown = concealed({"rows": Person.objects.all(), "row": Person(ssn=SECRET)})
    assert shown == {"rows": "<QuerySet of app.Person>", "row": "<app.Person None>"}


def test_names() -> None:
    """A field goes by its name in lookups, in forms and in formsets."""
    assert all(map(names_a_secret, ["ssn", "ssn__exact", "person__ssn", "form-0-ssn"]))
    assert not any(map(names_a_secret, ["page", "", "ssnx", "name", 7, None]))


@pytest.mark.parametrize(
    "name",
    [
        "seen_0",
        "initial-seen_1",
        "born_year",
        "form-0-seen_0",
        "ssn[]",
        "person.ssn",
        "[0]ssn",
        "d[ssn]",
        "SSN",
    ],
)
def test_names_that_forms_make(name: str) -> None:
    """Widgets of several inputs, nested serializers and scripts give parts of a value names of their own."""
    html = report(exc_info_of("type"), request_of({name: SECRET, "page": "4711"})).get_traceback_html()
    assert SECRET not in html
    assert "4711" in html


@override_settings(DEBUG=True)
def test_under_debug_the_filter_is_off() -> None:
    """As Django's own."""
    assert not ExceptionReporterFilter().is_active(None)


class Own(ExceptionReporterFilter):
    """A project's own filter."""


@pytest.mark.parametrize(
    ("path", "warned"),
    [
        ("django.views.debug.SafeExceptionReporterFilter", True),
        ("no.such.Filter", True),
        ("django_workos_vault.tracebacks.ExceptionReporterFilter", False),
        ("tests.security.test_tracebacks.Own", False),
    ],
)
def test_the_check_recommends_the_filter(path: str, warned: bool) -> None:
    """In production, anything but our filter or a subclass is a warning; following its hint ends it."""
    with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER=path):
        found = [
            m
            for m in run_checks(tags=["security"], include_deployment_checks=True)
            if m.id == "django_workos_vault.W105"
        ]
        assert bool(found) is warned
        assert "django_workos_vault.W105" not in {m.id for m in run_checks(tags=["security"])}


def test_an_integrity_error_is_what_it_was() -> None:
    """The filter looks, and changes nothing."""
    with pytest.raises(IntegrityError):
        refused_by_the_database()
