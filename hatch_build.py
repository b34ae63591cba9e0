"""Say it in one line when the Python is too old: pip tries every version of every dependency first."""

import sys

from hatchling.metadata.plugin.interface import MetadataHookInterface


class CustomMetadataHook(MetadataHookInterface):
    """Hatchling asks it for the package's metadata, which is the first thing that pip asks for."""

    def update(self, metadata):
        """Add nothing; refuse an old Python."""
        if sys.version_info < (3, 11):  # noqa: UP036
            found = ".".join(str(number) for number in sys.version_info[:2])
            sys.exit(f"django-workos-vault needs Python 3.11 or newer, and this is {found}")
