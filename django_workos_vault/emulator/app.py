"""The WSGI application: authentication, faults, routing, and errors as the API describes them."""

import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from hashlib import sha256
from hmac import compare_digest
from wsgiref.types import StartResponse, WSGIEnvironment

from django_workos_vault.backends import operations
from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.objects import Actor
from django_workos_vault.emulator import control
from django_workos_vault.emulator.call import Call
from django_workos_vault.emulator.events import EventLog
from django_workos_vault.emulator.faults import Faults
from django_workos_vault.emulator.messages import Answer, Refused, Request, json_body
from django_workos_vault.emulator.serving import serve
from django_workos_vault.exceptions import (
    InvalidVaultConfiguration,
    VaultConflict,
    VaultError,
    VaultNotFound,
    VaultUnavailable,
)

_CONTROLS: dict[str, dict[str, Callable[[Call], Answer]]] = {
    "/_emulator/events": {"GET": control.list_events},
    "/_emulator/faults": {"GET": control.show_faults, "POST": control.change_faults},
    "/_emulator/revoke": {"POST": control.revoke},
}


def _routes() -> dict[re.Pattern[str], dict[str, Callable[..., Answer]]]:
    """Return what answers to each path and method. A name may hold slashes, an id does not."""
    routes = {re.compile(path): handlers for path, handlers in _CONTROLS.items()}
    for operation in operations.ALL:
        path = operation.path.replace("{name}", "(?P<name>.+)").replace("{id}", "(?P<id>[^/]+)")
        handlers = routes.setdefault(re.compile(path, re.DOTALL), {})
        handlers[operation.method] = partial(serve, operation)
    return routes


_ROUTES = _routes()

# A withdrawn key is a 400, too: of 403 the API description knows nothing.
_STATUSES = {InvalidVaultConfiguration: 422, VaultConflict: 409, VaultNotFound: 404, VaultUnavailable: 500}


class Emulator:
    """Serves the Vault API out of ``vault``, which keeps objects, to callers that hold one of ``api_keys``.

    ``events`` is the audit list, ``faults`` what goes wrong.
    """

    def __init__(self, vault: LocalVault, api_keys: Collection[str], faults: Faults | None = None) -> None:
        if vault.objects is None:
            raise ValueError('the emulator keeps objects: give its LocalVault an objects_file, or ":memory:"')
        self._vault = vault
        self.events = EventLog()
        self.faults = faults or Faults()
        self._actors = {key.encode(): actor_of(key) for key in api_keys}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        try:
            answer = self._answer(Request(environ))
        except Refused as refusal:
            answer = Answer(refusal.status, {"error": str(refusal)}, refusal.headers)
        except (VaultError, InvalidVaultConfiguration) as error:
            answer = Answer(_STATUSES.get(type(error), 400), {"error": str(error)})
        body = json_body(answer)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
        start_response(answer.status_line, list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def revoke(self, name: str, value: str) -> None:
        """Withdraw the key of one context item, as an organization does that takes back its own key."""
        self._vault.revoke(name, value)

    def _answer(self, request: Request) -> Answer:
        actor = self._authenticate(request)
        if not request.path.startswith("/_emulator/"):
            self.faults.apply(actor.id)
        for pattern, handlers in _ROUTES.items():
            if match := pattern.fullmatch(request.path):
                handler = handlers.get(request.method)
                if handler is None:
                    allowed = ", ".join(handlers)
                    raise Refused(405, f"This path takes {allowed}.", {"Allow": allowed})
                call = Call(request, match.groupdict(), actor, self._vault, self.events, self.faults)
                return handler(call)
        raise Refused(404, "There is no such path.")

    def _authenticate(self, request: Request) -> Actor:
        token = request.bearer_token
        found = [actor for key, actor in self._actors.items() if compare_digest(key, token)]
        if not found:
            raise Refused(401, "The API key is missing or wrong.", {"WWW-Authenticate": "Bearer"})
        return found[0]


def actor_of(api_key: str) -> Actor:
    """Return who acts with ``api_key``: an id that is always the same, but does not give the key away."""
    return Actor(id=f"key_{sha256(api_key.encode()).hexdigest()[:24]}", name="Emulator API key")
