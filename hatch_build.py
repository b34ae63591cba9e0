"""Say it in one line when the Python is too old, and put the pages into the wheel."""

import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Hatchling asks it for the package's metadata, which is the first thing that pip asks for.

    Otherwise pip tries every version of every dependency before it says so.
    """

    def update(self, metadata):
        """Add nothing; refuse an old Python."""
        if sys.version_info < (3, 11):  # noqa: UP036
            found = ".".join(str(number) for number in sys.version_info[:2])
            sys.exit(f"django-workos-vault needs Python 3.11 or newer, and this is {found}")


class CustomBuildHook(BuildHookInterface):
    """The pages that ``manage.py vault_check --explain`` prints, wherever the package is installed."""

    def initialize(self, version, build_data):
        """Add the pages, but not to an editable installation: a checkout has them where they are written."""
        if version != "editable":
            for page in sorted(Path(self.root, "docs").glob("*.md")):
                build_data["force_include"][str(page)] = f"django_workos_vault/management/pages/{page.name}"
