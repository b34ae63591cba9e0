"""``manage.py vault_emulator``: a local server that WorkOS clients take for the real Vault."""

import os
import signal
import threading
from argparse import ArgumentTypeError
from contextlib import suppress
from ipaddress import ip_address
from secrets import token_hex
from typing import Any

from django.core.management.base import CommandError, CommandParser

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator import Emulator, EmulatorServer, Faults
from django_workos_vault.emulator.messages import Refused
from django_workos_vault.exceptions import InvalidVaultConfiguration, VaultError
from django_workos_vault.management.command import VaultCommand


class Command(VaultCommand):
    """Serves until it is interrupted, or told to end by SIGTERM: exit status 0."""

    help = "Serve the Vault part of the WorkOS API for development and tests. Not for real data."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
        parser.add_argument("--port", type=_port, default=8200, help="port, 0 for a free one (8200)")
        parser.add_argument("--allow-remote", action="store_true", help="allow a --host that is not loopback")
        parser.add_argument(
            "--api-key",
            action="append",
            metavar="sk_test_...",
            help="key to accept, repeatable (a random one)",
        )
        parser.add_argument(
            "--state", metavar="FILE", help="keep keys (in FILE.key) and objects between runs (in memory)"
        )
        parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="delay each answer")
        parser.add_argument(
            "--fail", type=float, default=0.0, metavar="SHARE", help="0 to 1: requests to fail"
        )
        parser.add_argument(
            "--fail-status", type=int, default=503, metavar="STATUS", help="how to fail (503)"
        )
        parser.add_argument("--rate-limit", type=int, metavar="N", help="requests per minute and API key")
        parser.add_argument(
            "--revoke",
            action="append",
            default=[],
            type=_context_item,
            metavar="NAME=VALUE",
            help="withdraw the key of this context item, repeatable",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, say where, and wait."""
        if not options["allow_remote"] and not _is_loopback(options["host"]):
            raise CommandError(
                f"{options['host']} is not a loopback address. The emulator keeps nothing safe; if others "
                "must reach it, add --allow-remote."
            )
        api_keys = options["api_key"] or [f"sk_test_{token_hex(16)}"]
        for api_key in api_keys:
            if not api_key.startswith("sk_test_"):
                raise CommandError(
                    "--api-key takes a made-up key that begins with sk_test_, never a live one."
                )
        faults = Faults()
        for name, takes in _FAULTS.items():
            try:
                faults.change({name: options[name]})
            except Refused as exc:
                option = f"--{name.replace('_', '-')}"
                raise CommandError(f"{option} takes {takes}, not {options[name]}.") from exc
        app = Emulator(_vault(options["state"]), api_keys, faults)
        for name, value in options["revoke"]:
            app.revoke(name, value)
        try:
            server = EmulatorServer(app, options["host"], options["port"])
        except OSError as exc:
            where = f"{options['host']} port {options['port']}"
            raise CommandError(f"Cannot listen on {where}: {exc.strerror}.") from exc
        stopped = threading.Event()
        with suppress(ValueError):  # in another thread than the main one, nobody may ask for signals
            signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        with server, suppress(KeyboardInterrupt):
            shown = "..." if options["api_key"] else api_keys[0]
            self.stdout.write(_STARTED.format(url=server.url, api_key=shown))
            self.stdout.flush()
            stopped.wait()


def _vault(state: str | None) -> LocalVault:
    if state is None:
        return LocalVault(master_key=os.urandom(32), objects_file=":memory:")
    vault = LocalVault(key_file=f"{state}.key", objects_file=state)
    try:
        vault.create_data_key({"app": "emulator"}).wipe()  # both files are used now, not by the first request
    except (InvalidVaultConfiguration, VaultError) as exc:
        raise CommandError(f"--state {state} cannot be used. {exc}") from exc
    return vault


#: switches that are options, and what they take
_FAULTS = {
    "latency": "seconds from 0 to 60",
    "fail": "a share from 0 to 1",
    "fail_status": "a status from 400 to 599",
    "rate_limit": "a number of requests from 0",
}


def _port(argument: str) -> int:
    if not (argument.isdecimal() and int(argument) < 2**16):
        raise ArgumentTypeError("takes a number from 0 to 65535")
    return int(argument)


def _context_item(argument: str) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    if not (equals and name and value):
        raise ArgumentTypeError("takes the form name=value")
    return name, value


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


_STARTED = """\
Vault emulator on {url}, for development and tests. It is no place for real data.
Use it with:

WORKOS_VAULTS = {{
    "default": {{
        "BACKEND": "django_workos_vault.backends.workos.WorkOSVault",
        "KEY_CONTEXT": {{"app": "my-app"}},
        "OPTIONS": {{"base_url": "{url}", "api_key": "{api_key}"}},
    }},
}}

Press Ctrl-C to stop."""
