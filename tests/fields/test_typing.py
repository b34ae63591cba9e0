"""What a user's type checker sees."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from django_workos_vault import fields

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_attributes_have_the_types_of_plain_fields() -> None:
    """To mypy with django-stubs an encrypted attribute is a str, an int, a datetime; with null, or None."""
    pytest.importorskip("mypy_django_plugin", reason="django-stubs is part of the extra 'lint'")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "tests/fields/typed_models.py"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_types_name_every_field() -> None:
    """The stub and the package export the same names."""
    stub = Path(fields.__file__).with_suffix(".pyi").read_text()
    declared = {*re.findall(r"^class (Encrypted\w+)", stub, re.MULTILINE), *re.findall(r" as (\w+)", stub)}
    assert declared == set(fields.__all__)
