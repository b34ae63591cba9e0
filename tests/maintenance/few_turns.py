"""A vault with a rate limit of its own, whose windows are short."""

import time
from typing import Any

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.backends.operations import Operation
from django_workos_vault.exceptions import VaultRateLimited

TURNS, WINDOW = 5, 0.1


class FewTurns(LocalVault):
    """Five requests in a tenth of a second; it says when the next ones may come."""

    says_when = True
    _began, _left = 0.0, 0

    def call(self, operation: Operation[Any], arguments: Any) -> Any:
        now = time.monotonic()
        if now - self._began > WINDOW:
            self._began, self._left = now, TURNS
        if not self._left:
            raise VaultRateLimited("Not now.", self._began + WINDOW - now if self.says_when else None)
        self._left -= 1
        return super().call(operation, arguments)


class NobodySaysWhen(FewTurns):
    says_when = False


def with_turns(kind: type[FewTurns]) -> dict[str, Any]:
    """Settings of such a vault, always of the same key."""
    backend = f"{kind.__module__}.{kind.__name__}"
    options = {"master_key": bytes(32), "objects_file": ":memory:"}
    return {"default": {"BACKEND": backend, "KEY_CONTEXT": {"app": "tests"}, "OPTIONS": options}}
