"""The file fields that a run over columns leaves out, and the commands for them."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db import router
from django.db.models import FileField

from django_workos_vault.files.fields import EncryptedFileField
from django_workos_vault.files.sealed_storage import SealedStorage
from django_workos_vault.maintenance.engine.where import UnknownCondition, Where
from django_workos_vault.maintenance.files.columns import encrypted_file_fields, named_file_field

#: The operations that there are of files too, and a move, which sealing them again is.
_OPTIONS: dict[str, list[str]] = {"reseal": [], "rekey": ["--rekey"], "move": []}


def commands_for_files(targets: Sequence[str], name: str, options: Mapping[str, Any]) -> list[str]:
    """Return the commands that do to the files of ``targets`` what the operation ``name`` does to columns.

    A target is an app, a model, or a file field; there are none where everything is meant. Fields of files
    for which there is no command are comments.
    """
    if name not in _OPTIONS:
        return []
    database = options["database"]
    extra = list(_OPTIONS[name])
    extra += ["--where", options["where"]] if options["where"] else []
    extra += ["--database", database] if database else []
    extra += [f"--{each.replace('_', '-')}" for each in ("plan", "dry_run") if options[each]]
    found = [
        field
        for field in dict.fromkeys(_file_fields(targets))
        if database is None or router.allow_migrate_model(database, field.model)
    ]
    return [
        *(
            shlex.join(["manage.py", "vault_reencrypt", str(field), *extra])
            for field in found
            if isinstance(field, EncryptedFileField) and _is_meant(field, options["where"])
        ),
        *(
            f"# {field}: no command does that in an EncryptedStorage; save each of its files again"
            for field in found
            if not (isinstance(field, EncryptedFileField) or options["where"])
        ),
    ]


def of_files(left_out: Sequence[str]) -> list[str]:
    """Return the lines that tell of such commands."""
    return ["Files are left out: each file field has a command of its own.", *left_out] if left_out else []


def _file_fields(targets: Sequence[str]) -> Iterator[FileField]:
    """Yield encrypted file fields, and Django's over an encrypted storage."""
    models = [model for model in apps.get_models() if not model._meta.proxy]
    for target in targets or [model._meta.label for model in models]:
        for model in models:
            if target.lower() in (model._meta.app_label, model._meta.label_lower):
                yield from encrypted_file_fields(model)
                for field in model._meta.local_concrete_fields:
                    if isinstance(field, FileField) and isinstance(field.storage, SealedStorage):
                        yield field
        if (named := named_file_field(target)) is not None:
            yield named


def _is_meant(field: Any, where: str | None) -> bool:
    try:
        return where is None or bool(Where(where, [field]))
    except UnknownCondition:
        return False
