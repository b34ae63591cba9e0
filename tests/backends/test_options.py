"""The options of the HTTP client."""

import pytest

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import InvalidVaultConfiguration
from tests.backends.replies import API_KEY, shown_by


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"api_key": 5}, "api_key must be a string"),
            ({"api_key": "pk_test_secret"}, "api_key does not begin with 'sk_'"),
            ({"api_key": "sk_test_secret\n"}, "api_key holds a space, a line break"),
            ({"base_url": "http://api.workos.com"}, "base_url must begin with https://"),
            ({"base_url": "http://127.0.0.1.example.com"}, "base_url must begin with https://"),
            ({"base_url": "https://user:secret@api.workos.com"}, "base_url takes no user name"),
            ({"base_url": "https://api.workos.com/?secret"}, "base_url takes no user name, query"),
            ({"base_url": "api.workos.com"}, "base_url must be an address"),
            ({"base_url": "ftp://api.workos.com"}, "base_url must be an address"),
            ({"base_url": "https://[::1"}, "base_url must be an address"),
            ({"base_url": "https://host:port"}, "base_url must be an address"),
            ({"base_url": None}, "base_url must be a string"),
            ({"timeout": 0}, "timeout must be a number of seconds over 0"),
            ({"timeout": "5"}, "timeout must be"),
            ({"timeout": float("nan")}, "timeout must be"),
            ({"deadline": -1}, "deadline must be"),
            ({"max_connections": 0}, "max_connections must be"),
            ({"max_connections": 2.5}, "max_connections must be"),
            ({"rate_limit_share": 0}, "rate_limit_share must be"),
            ({"rate_limit_store": "127.0.0.1/sk_test_secret"}, "rate_limit_store must be an address"),
            ({"rate_limit_store": "redis://:x@h:sk_test_secret"}, "rate_limit_store must be an address"),
            ({"rate_limit_share": 0, "rate_limit_store": "redis://:sk_test_secret@h"}, "rate_limit_share"),
            ({"rate_limit_share": 1.5}, "rate_limit_share must be"),
        ],
    )
    def test_wrong(self, options, message):
        """A wrong option is an error that names it and quotes no secret, before any request."""
        with pytest.raises(InvalidVaultConfiguration, match=message) as caught:
            WorkOSVault(**{"api_key": API_KEY} | options)
        assert "secret" not in str(caught.value)
        shown = "\n".join(shown_by(caught.value))
        assert API_KEY not in shown
        assert "test_secret" not in shown

    @pytest.mark.parametrize(
        "url",
        ["http://localhost:8200", "http://127.0.0.9", "http://[::1]:8200/", "https://eu.example/vault/"],
    )
    def test_addresses(self, url):
        """Plain http is for loopback; a path in front of the API's is kept."""
        assert WorkOSVault(api_key=API_KEY, base_url=url).base_url == url.rstrip("/")
