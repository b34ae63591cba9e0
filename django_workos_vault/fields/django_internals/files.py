"""What a row's file knows of itself: whether it was stored, and that it is there at all."""

from typing import Any

from django.db.models.fields.files import FieldFile


def is_unsaved(file: FieldFile) -> bool:
    """Whether ``file`` was assigned to the row and not stored yet."""
    own: Any = file
    return not own._committed


def note_saved(file: FieldFile, content: Any) -> None:
    """Note that ``content`` was stored under the name that ``file`` has by now."""
    own: Any = file
    own._set_instance_attribute(file.name, content)
    own._committed = True


def refuse_none(file: FieldFile) -> None:
    """Raise ValueError where the row has no file, as Django does on reading one."""
    own: Any = file
    own._require_file()
