"""The published description of the Vault API, for the tests that hold our code against it."""

from pathlib import Path
from typing import Any

import yaml


def description() -> dict[str, Any]:
    """Return what ``vault-openapi.yaml`` says."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # half a second less where PyYAML has libyaml
    found: dict[str, Any] = yaml.load((Path(__file__).parent / "vault-openapi.yaml").read_text(), loader)
    return found
