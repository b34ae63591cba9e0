"""``manage.py vault_emulator``."""

import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import takewhile

import pytest

from tests.emulator.asking import CONTEXT, connect, create_data_key, refused


@pytest.mark.slow
@pytest.mark.usefixtures("ctrl_c_works")
class TestCommand:
    """``manage.py vault_emulator``."""

    @contextmanager
    def running(self, *arguments, end=signal.SIGINT):
        """Run the command until the block ends; yield what it printed first."""
        command = [
            sys.executable,
            "-m",
            "django",
            "vault_emulator",
            "--settings",
            "tests.settings",
            *arguments,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                lines = iter(process.stdout.readline, "")
                yield "".join(takewhile(lambda line: "Ctrl-C" not in line, lines))
            finally:
                process.send_signal(end)
        assert process.returncode == 0

    @contextmanager
    def serving(self, *arguments):
        with self.running(*arguments) as output:
            yield re.search(r"http://\S+:\d+", output)[0]

    def test_it_serves_and_says_how_to_use_it(self):
        """The output has the URL, a random API key, and settings that are Python."""
        with self.running("--port", "0", "--revoke", "organization_id=org_1") as output:
            snippet = {}
            exec(output[output.index("WORKOS_VAULTS") :], snippet)
            options = snippet["WORKOS_VAULTS"]["default"]["OPTIONS"]
            with connect(options["base_url"], options["api_key"]) as http:
                create_data_key(http, {"organization_id": "org_2"})
                assert refused(http.post("/vault/v1/keys/data-key", json={"context": CONTEXT}), 400)
        assert re.match(r"Vault emulator on http://127.0.0.1:\d+, .* no place for real data", output)

    def test_it_ends_well_when_told_to(self):
        """SIGTERM, by which service managers and containers end what they started, is no failure."""
        with self.running("--port", "0", end=signal.SIGTERM) as output:
            assert "http://" in output

    def test_it_listens_elsewhere_when_told(self):
        """With --allow-remote any address will do."""
        arguments = ("--port", "0", "--host", "0.0.0.0", "--allow-remote", "--api-key", "sk_test_one")
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            create_data_key(http)

    def test_its_state_survives_a_restart(self, tmp_path):
        """With --state a second run opens what the first one wrapped and stored."""
        arguments = ("--port", "0", "--state", str(tmp_path / "state"), "--api-key", "sk_test_one")
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            keys = create_data_key(http)["encrypted_keys"]
            body = {"name": "a", "value": "secret", "key_context": {"app": "clinic"}}
            assert http.post("/vault/v1/kv", json=body).status_code == 201
            http.post("/_emulator/revoke", json={"context": CONTEXT})
        with self.serving(*arguments) as url, connect(url, "sk_test_one") as http:
            assert http.get("/vault/v1/kv/name/a").json()["value"] == "secret"
            assert refused(http.post("/vault/v1/keys/decrypt", json={"keys": keys}), 400)
            opened = http.post("/vault/v1/keys/data-key", json={"context": {"app": "clinic"}})
            assert opened.status_code == 200

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--host", "0.0.0.0"], "--allow-remote"),
            (["--host", "example.com"], "--allow-remote"),
            (["--api-key", "sesame"], "sk_test_"),
            (["--api-key", "sk_prod_1"], "never a live one"),
            (["--fail", "7"], "--fail takes a share from 0 to 1, not 7"),
            (["--fail-status", "200"], "--fail-status takes a status from 400 to 599, not 200"),
            (["--latency", "-1"], "--latency takes seconds"),
            (["--rate-limit", "-5"], "--rate-limit takes a number"),
            (["--revoke", "org_1"], "name=value"),
            (["--revoke", "=org_1"], "name=value"),
            (["--revoke", "organization_id="], "name=value"),
            (["--port", "65536"], "0 to 65535"),
            (["--port", "http"], "0 to 65535"),
        ],
    )
    def test_it_refuses_what_is_unsafe_or_wrong(self, arguments, message):
        """Anything but loopback, a live key, nonsense: one line on what to do, and no server."""
        from django.core.management import CommandError, call_command

        with pytest.raises(CommandError, match=message):
            call_command("vault_emulator", *arguments)

    @pytest.mark.parametrize("broken", ["no directory", "a directory", "no database", "no key", "open key"])
    def test_a_state_that_cannot_be_used_is_refused_at_the_start(self, tmp_path, broken):
        """And not with the first request: one line that names the file, and no server."""
        from django.core.management import CommandError, call_command

        state = tmp_path / "state"
        if broken == "no directory":
            state = tmp_path / "missing" / "state"
        elif broken == "a directory":
            state.mkdir()
        elif broken == "no database":
            state.write_text("no database at all, and longer than a header of one")
        else:
            (tmp_path / "state.key").write_text("no key" if broken == "no key" else "x" * 44)
            (tmp_path / "state.key").chmod(0o600 if broken == "no key" else 0o644)
        with pytest.raises(CommandError, match=r"--state .*state cannot be used\. "):
            call_command("vault_emulator", "--port", "0", "--state", str(state))
