"""The secrets among the settings stand in no error page, mail, repr or traceback."""

import pprint
import secrets
import sys
from base64 import b64encode
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import RequestFactory, override_settings
from django.views.debug import ExceptionReporter

from django_workos_vault import conf, vaults
from django_workos_vault.backends.fleet import FleetLimiter
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError

# Made here, as a report quotes lines of source too.
API_KEY = f"sk_test_{secrets.token_hex(12)}"
PASSWORD = secrets.token_hex(12)
MASTER_KEY = secrets.token_bytes(32)
SHOWN_AS = [API_KEY, PASSWORD, b64encode(MASTER_KEY).decode(), repr(MASTER_KEY)]
REMOTE = "django_workos_vault.backends.workos.WorkOSVault"
LOCAL = "django_workos_vault.backends.local.LocalVault"


def remote(store="redis://:{}@127.0.0.1:9/0", **options):
    return {
        "BACKEND": REMOTE,
        "OPTIONS": {
            "api_key": API_KEY,
            "base_url": "http://127.0.0.1:9",
            "deadline": 0.3,
            "rate_limit_store": store.format(PASSWORD),
            **options,
        },
    }


SETTINGS = {
    "password": lambda: remote(),
    "user and password": lambda: remote("redis://user:{}@127.0.0.1:9/0"),
    "password in the query": lambda: remote("redis://127.0.0.1:9/0?password={}"),
    "wrong port": lambda: remote("redis://:{}@127.0.0.1:port/0"),
    "wrong option of the address": lambda: remote("redis://:{}@127.0.0.1:9/0?foo=1"),
    "wrong scheme": lambda: remote("amqp://:{}@127.0.0.1:9/0"),
    "no address": lambda: remote("{}"),
    "wrong option": lambda: remote(no_such_option=1),
    "proxy": lambda: remote(base_url=f"https://user:{PASSWORD}@vault.example"),
    "wrong backend": lambda: remote() | {"BACKEND": "no.such.module"},
    "text": lambda: {"BACKEND": LOCAL, "OPTIONS": {"master_key": b64encode(MASTER_KEY).decode()}},
    "bytes": lambda: {"BACKEND": LOCAL, "OPTIONS": {"master_key": MASTER_KEY}},
    "short key": lambda: {"BACKEND": LOCAL, "OPTIONS": {"master_key": PASSWORD}},
}


@pytest.fixture(params=SETTINGS.values(), ids=SETTINGS)
def vault_settings(request):
    with override_settings(WORKOS_VAULTS={"default": request.param()}):
        yield


def fail():
    given = settings.WORKOS_VAULTS
    options = dict(given["default"]["OPTIONS"])
    raise RuntimeError(sorted(options))


def use():
    vaults["default"].backend.create_data_key({"app": "x"})
    fail()


def report(debug):
    request = RequestFactory().get("/")
    with override_settings(DEBUG=debug):
        reporter = ExceptionReporter(request, *sys.exc_info())
        return reporter.get_traceback_html() + reporter.get_traceback_text()


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("run", [fail, use])
def test_reports(vault_settings, debug, run):
    """Django's page and mail show the settings, the frames and the error without them."""
    html = ""
    try:
        run()
    except (RuntimeError, VaultError, InvalidVaultConfiguration):
        html = report(debug)
    assert "WORKOS_VAULTS" in html
    assert [secret for secret in SHOWN_AS if secret in html] == []


@pytest.mark.parametrize("show", [repr, str, pprint.pformat])
def test_reprs(vault_settings, show):
    """So does whatever shows the setting, a vault or what it is made of."""
    shown = show(settings.WORKOS_VAULTS)
    try:
        backend = vaults["default"].backend
        shown += show(vars(backend)) + show(vaults["default"]) + show(conf.vault_settings("default"))
        if isinstance(getattr(backend, "_limiter", None), FleetLimiter):
            shown += show(vars(backend._limiter))
    except InvalidVaultConfiguration as error:
        shown += show(error)
    assert [secret for secret in SHOWN_AS if secret in shown] == []


def test_diffsettings(vault_settings):
    """So does the command that prints the settings."""
    out = StringIO()
    call_command("diffsettings", output="unified", stdout=out)
    assert "WORKOS_VAULTS" in out.getvalue()
    assert [secret for secret in SHOWN_AS if secret in out.getvalue()] == []


def test_values_are_what_they_were():
    """The values are equal to what was written, of the same length, and work as such."""
    with override_settings(WORKOS_VAULTS={"default": remote(), "local": SETTINGS["bytes"]()}):
        options = settings.WORKOS_VAULTS["default"]["OPTIONS"]
        assert options == remote()["OPTIONS"]
        assert (
            f"{options['api_key']}{options['rate_limit_store']}"
            == API_KEY + remote()["OPTIONS"]["rate_limit_store"]
        )
        assert vaults["local"].backend.create_data_key({"app": "x"}).id
        assert vaults["default"].backend.api_key_environment == "test"


def test_odd_settings():
    """Settings that are none are left for the checks to tell of."""
    for odd in (
        None,
        [],
        {"default": None},
        {"default": {"OPTIONS": None}},
        {"default": {"OPTIONS": [1]}},
        {1: {}},
    ):
        with override_settings(WORKOS_VAULTS=odd):
            conf.hide_secrets()
