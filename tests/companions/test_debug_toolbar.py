"""django-debug-toolbar shows the ciphertext of queries, and opens nothing."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks.registry import registry
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from django_workos_vault import vaults
from tests.app.models import Person

pytest.importorskip("debug_toolbar")
pytestmark = pytest.mark.django_db
SSN = "123-45-6789"


@pytest.fixture
def toolbar(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The SQL panel at work, without the toolbar's views; its checks are this test's alone."""
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "debug_toolbar"]
    from debug_toolbar.panels.sql.panel import SQLPanel
    from debug_toolbar.toolbar import DebugToolbar

    def run(view: Any) -> Any:
        request = RequestFactory().get("/")
        request.user = User()
        bar = DebugToolbar(request, lambda request: HttpResponse())
        panel = bar.get_panel_by_id(SQLPanel.panel_id)
        panel.enable_instrumentation()
        try:
            view(request)
        finally:
            panel.disable_instrumentation()
        panel.generate_stats(request, HttpResponse())
        return panel.get_stats()

    return run


def write_and_read(request: HttpRequest) -> None:
    Person.objects.create(ssn=SSN, notes="a note")
    with vaults["default"].decryption_forbidden():
        assert len(Person.objects.all()) == 1


@override_settings(DEBUG=True)
def test_queries_are_shown_as_ciphertext(toolbar: Any) -> None:
    """With their parameters, of which none is plaintext; rows are loaded unopened."""
    shown = repr(toolbar(write_and_read))
    assert Person._meta.db_table in shown
    assert SSN not in shown
    assert SSN not in str(connection.queries)
