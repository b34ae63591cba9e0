"""Every system check is documented."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
ID = re.compile(r"\b[EW]\d{3}\b")
#: Ids of checks that are gone. Somebody's SILENCED_SYSTEM_CHECKS may still name them.
GONE = {"E131"}


def test_every_id_in_the_code_has_a_section() -> None:
    """Whoever meets a check finds what to do, and no section describes a check that is gone."""
    package = CHECKOUT / "django_workos_vault"
    in_code = {found for path in package.rglob("*.py") for found in _ids(path.read_text())}
    page = (CHECKOUT / "docs" / "checks.md").read_text()
    documented = re.findall(r"^### django_workos_vault\.([EW]\d{3})$", page, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert in_code == set(documented)


def test_no_id_is_used_again() -> None:
    """A number that a check had once stands for nothing else."""
    page = (CHECKOUT / "docs" / "checks.md").read_text()
    assert not [number for number in GONE if number in page]


def _ids(source: str) -> set[str]:
    code = re.sub(r"#.*", "", source)  # linter codes in comments
    return set(ID.findall(code))
