"""Other packages are told of encrypted fields when they are imported, and are not imported for it."""

import subprocess
import sys
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from django_workos_vault.after_import import after_import

PROGRAM = """
import inspect, sys
import django
from django.conf import settings
settings.configure(SECRET_KEY="tests only", INSTALLED_APPS=["django_workos_vault"], WORKOS_VAULTS={})
django.setup()
assert not {"ninja", "model_bakery", "rest_framework"} & {*sys.modules}
import model_bakery.generators, ninja.orm.fields, rest_framework.serializers
from django_workos_vault.fields import EncryptedCharField
assert EncryptedCharField in model_bakery.generators.default_mapping
assert ninja.orm.fields.TYPES["CharFieldEncrypted"] is str
assert rest_framework.serializers.ModelSerializer.get_unique_together_validators.validates_rows
for module in (model_bakery.generators, ninja.orm.fields, rest_framework.serializers):
    assert inspect.getsource(module)
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__name__ == "SourceFileLoader"
"""


def test_what_nobody_imports_is_not_imported() -> None:
    """Nor loaded into each worker and command; and who imports it later finds it told."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.fixture
def companion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module ``a_companion`` that can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "a_companion", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path / "a_companion.py"


def test_a_module_is_handed_over_when_it_is_complete(companion: Path) -> None:
    """Once for each time that it is loaded, and at once where it was."""
    seen: list[tuple[str, bool]] = []

    def note(module: ModuleType) -> None:
        seen.append((module.__name__, hasattr(module, "last")))

    after_import("a_companion", note)
    companion.write_text("first = 1\nlast = 2\n")
    found = find_spec("a_companion")
    assert found is not None
    assert found.loader.get_source("a_companion").startswith("first")  # type: ignore[union-attr]
    import_module("a_companion")
    import_module("a_companion")
    assert seen == [("a_companion", True)]
    after_import("a_companion", note)
    assert len(seen) == 2


def test_one_that_cannot_be_imported_says_so_itself(companion: Path) -> None:
    """As without us; and is told when it can be."""
    seen: list[ModuleType] = []
    after_import("a_companion", seen.append)
    with pytest.raises(ModuleNotFoundError, match="No module named 'a_companion'"):
        import_module("a_companion")
    companion.write_text("raise RuntimeError('broken')\n")
    invalidate_caches()
    with pytest.raises(RuntimeError, match="broken"):
        import_module("a_companion")
    assert not seen
    companion.write_text("mended = True\n")
    assert seen == [import_module("a_companion")]
