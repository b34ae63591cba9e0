"""The steps in their order, and which of them make no sense after another has failed."""

from collections.abc import Iterator

from django_workos_vault import conf
from django_workos_vault.handler import vaults
from django_workos_vault.maintenance.inspection.access import inspect_access_records
from django_workos_vault.maintenance.inspection.columns import (
    ColumnReport,
    inspect_columns,
    inspectable_models,
)
from django_workos_vault.maintenance.inspection.files import inspect_files
from django_workos_vault.maintenance.inspection.findings import Finding, Progress
from django_workos_vault.maintenance.inspection.objects import inspect_objects
from django_workos_vault.maintenance.inspection.registry import inspect_contexts, inspect_registry
from django_workos_vault.maintenance.inspection.round_trip import inspect_round_trip
from django_workos_vault.maintenance.inspection.settings import inspect_settings
from django_workos_vault.maintenance.inspection.tracked_files import inspect_tracked_files


class Inspection:
    """One run of the checklist over all vaults and encrypted columns.

    ``sample`` is the number of rows to open in each column, and of data keys to unwrap of each vault, None
    for all; ``using`` a database alias, None for where each is written. ``objects`` compares the objects
    in Vault with the rows that refer to them, ``files`` the files on the storages.
    """

    def __init__(
        self,
        *,
        sample: int | None,
        using: str | None,
        progress: Progress,
        objects: bool = False,
        files: bool = False,
    ) -> None:
        self._sample = sample
        self._using = using
        self._progress = progress
        self._objects = objects
        self._files = files
        self.columns: list[ColumnReport] = []

    def findings(self) -> Iterator[Finding]:
        """Do the work, yielding what each step found. :attr:`columns` is filled along the way."""
        yield from inspect_settings()
        yield from inspect_tracked_files(
            conf.project_directory(), conf.api_key_digests(), conf.local_key_files()
        )
        usable = set()
        for vault in vaults.usable():
            failed = False
            for finding in inspect_round_trip(vault):
                failed |= finding.status == "problem"
                yield finding
            if failed:
                message = "Keys and columns of this vault were not looked at."
                yield Finding("registry", vault.alias, "skipped", message)
                continue
            usable.add(vault.alias)
            yield from inspect_registry(vault, self._progress, self._sample)
            yield from inspect_contexts(vault)
        for _, fields in inspectable_models(usable):
            yield from inspect_columns(fields, self.columns, self._using, self._sample, self._progress)
        yield from inspect_access_records()
        yield from inspect_files(usable, self._using, self._sample, self._progress, orphans=self._files)
        if self._objects:
            yield from inspect_objects(usable, self._using, self._progress)
