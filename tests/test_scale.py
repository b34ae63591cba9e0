"""The simulation behind docs/scale.md still runs."""

import pytest

from tests.benchmarks import simulation


@pytest.mark.django_db
def test_simulation_below_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Sealing and a cold read take the requests and the bytes that the model gives."""
    simulation.below_the_limit(organizations=3, rows_each=2)
    printed = capsys.readouterr().out
    assert "3 requests to seal (model 3), 3 to read cold" in printed
    assert "279 bytes a cell (model 279)" in printed


@pytest.mark.django_db
def test_simulation_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    """Processes that read cold keys at once open every value."""
    simulation.cold_reads(processes=2, keys=3, share=0.5, deadline=15.0, each=0.0)
    assert "6 (6)" in capsys.readouterr().out
