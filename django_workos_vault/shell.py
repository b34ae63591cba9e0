"""``SHELL``: in ``manage.py shell``, a vault may open nothing before ``justified()``."""

import sys
from contextlib import suppress

from django_workos_vault import conf, forbidding
from django_workos_vault.exceptions import InvalidVaultConfiguration

#: The commands that are shells: Django's, and django-extensions'.
SHELLS = ("shell", "shell_plus")


def want_justification_in_shells() -> None:
    """Have the vaults that say so open nothing in this process, if it is a shell, without a reason."""
    if sys.argv[1:2] == [] or sys.argv[1] not in SHELLS:
        return
    with suppress(InvalidVaultConfiguration):
        for alias in conf.vault_aliases():
            with suppress(InvalidVaultConfiguration):  # what cannot be made cannot open anything
                if conf.vault_settings(alias).forbids_shell:
                    forbidding.want_justification(alias)
