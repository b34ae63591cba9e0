"""Objects in the admin and in forms."""

from typing import Any

import pytest
from django.forms import modelform_factory
from django.test import Client

from django_workos_vault.masks import FULL
from django_workos_vault.testing import RunningEmulator
from tests.app.models import Credential
from tests.objects.rows import loaded, requests_made


@pytest.mark.django_db
class TestAdmin:
    def test_list_and_form_fetch_nothing(self, remote: RunningEmulator, admin_client: Client) -> None:
        """The mask stands for the value; a blank keeps it, another replaces it, clearing empties it."""
        row = Credential.objects.create(token="s3cr3t")
        before = requests_made()
        url = f"/admin/app/credential/{row.pk}/change/"
        for page in ("/admin/app/credential/", url):
            html = admin_client.get(page).content.decode()
            assert FULL in html
            assert "s3cr3t" not in html
        assert admin_client.post(url, {"name": "renamed", "token": ""}).status_code == 302
        assert requests_made() == before
        assert loaded(row).token == "s3cr3t"
        admin_client.post(url, {"name": "renamed", "token": "n3w"})
        assert loaded(row).token == "n3w"
        admin_client.post(url, {"name": "renamed", "token": "", "token-clear": "on"})
        assert loaded(row).token is None

    def test_structured_values_stay_structured(self, vault: Any, admin_client: Client) -> None:
        """What is stored as JSON is entered as JSON."""
        row = Credential.objects.create(token={"a": 1})
        url = f"/admin/app/credential/{row.pk}/change/"
        assert "Enter valid JSON" in admin_client.post(url, {"name": "x", "token": "{"}).content.decode()
        admin_client.post(url, {"name": "x", "token": '{"a": 2}'})
        assert loaded(row).token == {"a": 2}

    def test_plain_model_form(self, vault: Any) -> None:
        """A form shows the value, and sent back unchanged it makes no version."""
        row = Credential.objects.create(token={"a": 1})
        form_class = modelform_factory(Credential, fields=["name", "token"])
        assert "&quot;a&quot;: 1" in form_class(instance=loaded(row)).as_p()
        form = form_class({"name": "x", "token": '{"a": 1}'}, instance=loaded(row))
        form.save()
        assert loaded(row).token == {"a": 1}
        assert len(row.history("token")) == 1
