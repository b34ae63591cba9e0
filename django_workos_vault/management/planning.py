"""What ``--plan`` looks at: the cells of columns, or the files of one."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from django_workos_vault.exceptions import VaultError
from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.maintenance.engine.cell_plan import CellPlanner
from django_workos_vault.maintenance.engine.columns import Columns
from django_workos_vault.maintenance.engine.file_plan import FilePlanner
from django_workos_vault.maintenance.engine.plan import Plan
from django_workos_vault.maintenance.operations import operation


def planned(models: Sequence[Sequence[Any]], name: str, using: str, options: Mapping[str, Any]) -> Plan:
    """Return the plan of the operation ``name`` over fields, model by model. Raises CommandError."""
    each: Any = operation(name, options={"from_vault": options["from_vault"]})
    planner: CellPlanner | FilePlanner
    if isinstance(models[0][0], EncryptedFileField):
        planner = FilePlanner(models[0][0], each, using, where=options["where"], at_once=options["workers"])
    else:
        columns = [Columns(fields, each, using, where=options["where"]) for fields in models]
        planner = CellPlanner(columns, each, name, using)
    try:
        return planner.plan()
    except VaultError as exc:
        raise CommandError(f"Stopped: {exc} Nothing was changed.") from None
    except DatabaseError as exc:
        raise CommandError(f"Stopped by the database: {type(exc).__name__}. Nothing was changed.") from exc
