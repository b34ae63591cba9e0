"""What the HTTP client never shows."""

import asyncio
import logging
import traceback

import httpx
import pytest
import stamina

from django_workos_vault.backends.workos import WorkOSVault
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError, VaultUnavailable
from tests.backends.replies import API_KEY, DATA_KEY, DECRYPTED, shown_by
from tests.scripted import Reply, cut_short, hang_up


class TestSecrets:
    VALUE = "plaintext 4711"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(status=500, body={"error": f"{API_KEY} {DATA_KEY}"}),
            Reply(status=422, body={"error": f"no key {DATA_KEY}"}),
            Reply({"id": 5, "data_key": DATA_KEY, "value": "plaintext 4711"}),
            Reply(f"<p>{DATA_KEY} plaintext 4711</p>".encode()),
            Reply(act=hang_up),
            Reply(act=cut_short),
        ],
    )
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_errors(self, server, vault, reply, kind):
        """No error shows a key or a value: not its text, and not the locals of any frame behind it."""
        server.answer(reply)
        calls = {
            "sync": [
                lambda: vault.decrypt_data_key(b"x"),
                lambda: vault.create_object("n", self.VALUE, {"app": "x"}),
                lambda: vault.update_object("n", self.VALUE),
                lambda: vault.create_object("", self.VALUE, {"app": "x"}),
            ],
            "async": [
                lambda: asyncio.run(vault.adecrypt_data_key(b"x")),
                lambda: asyncio.run(vault.acreate_object("n", self.VALUE, {"app": "x"})),
                lambda: asyncio.run(vault.aupdate_object("n", self.VALUE)),
                lambda: asyncio.run(vault.acreate_object("n", self.VALUE, {})),
            ],
        }
        for call in calls[kind]:
            with (
                stamina.set_testing(True, attempts=2),
                pytest.raises((VaultError, InvalidVaultConfiguration)) as caught,
            ):
                call()
            shown = "\n".join(shown_by(caught.value))
            assert API_KEY not in shown
            assert DATA_KEY not in shown
            assert self.VALUE not in shown

    def test_reprs(self, vault):
        """Neither the vault nor what it is made of shows the API key."""
        assert repr(vault) == f"<WorkOSVault {vault.base_url}>"
        assert API_KEY not in repr(vars(vault))

    def test_logs(self, server, vault, caplog):
        """At the most talkative level no log shows a key, a value, or the name of an object."""
        caplog.set_level(logging.DEBUG, logger="")
        server.answer(
            Reply(status=503), Reply({"id": "obj", "name": "jane", "value": self.VALUE}), Reply(DECRYPTED)
        )
        with stamina.set_testing(True, attempts=2), pytest.raises(VaultUnavailable):
            vault.read_object_by_name("jane doe")
        vault.decrypt_data_key(b"x")
        with pytest.raises(VaultError):
            vault.create_object("jane doe", self.VALUE, {"app": "x"})
        with pytest.raises(VaultError):
            vault.list_objects(search="jane")
        assert caplog.records
        for secret in (API_KEY, DATA_KEY, self.VALUE, "jane"):
            assert secret not in caplog.text

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
    @pytest.mark.parametrize(
        "call",
        [
            lambda vault: vault.create_object("jane doe", TestSecrets.VALUE, {"app": "x"}),
            lambda vault: vault.update_object("jane doe", TestSecrets.VALUE),
            lambda vault: vault.read_object_by_name("jane doe"),
            lambda vault: asyncio.run(vault.acreate_object("jane doe", TestSecrets.VALUE, {"app": "x"})),
        ],
        ids=["create", "update", "read", "async"],
    )
    def test_interrupted(self, call, error):
        """Neither does whatever interrupts a call, or breaks it for reasons that nobody foresaw."""

        def fail(request):
            raise error

        vault = WorkOSVault(
            api_key=API_KEY, base_url="https://vault.example", transport=httpx.MockTransport(fail)
        )
        with pytest.raises(error) as caught:
            call(vault)
        frames = [frame for frame, _ in traceback.walk_tb(caught.tb)]
        client = [frame for frame in frames if frame.f_code.co_filename.endswith("/backends/workos.py")]
        assert client
        for held, secrets in ((frames_of_ours(frames), (API_KEY, self.VALUE)), (client, ("jane",))):
            shown = "\n".join(repr(value) for frame in held for value in frame.f_locals.values())
            for secret in secrets:
                assert secret not in shown


def frames_of_ours(frames):
    return [frame for frame in frames if "/django_workos_vault/" in frame.f_code.co_filename]
