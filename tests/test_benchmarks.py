"""The commands behind docs/speed.md, docs/scale.md and docs/comparison.md still run."""

import os
import subprocess
import sys

import pytest
from django.db import connection

from tests.benchmarks import comparison, simulation

pytestmark = pytest.mark.slow


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


@pytest.mark.skipif(connection.vendor != "sqlite", reason="elsewhere it would take the tests' own database")
@pytest.mark.parametrize(
    ("module", "options", "line"),
    [
        ("tests.benchmarks", ["--only", "identity", "floor", "ours"], "read touching none"),
        ("tests.benchmarks.steps", [], "from the instance to the parameter"),
    ],
)
def test_benchmarks_run(module: str, options: list[str], line: str) -> None:
    """Each command prints its table."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--rows", "20", "--repeats", "1", *options],
        env={**os.environ, "VAULT_TEST_DATABASE": "sqlite"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"| {line} |" in done.stdout


def test_the_benchmark_of_files_runs() -> None:
    """It prints its table, and the memory that a long file took."""
    command = [sys.executable, "-m", "tests.benchmarks.files", "--megabytes", "4", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| seal, 1 MiB chunks |" in done.stdout
    assert "MiB above" in done.stdout


def test_the_benchmark_of_headers_runs() -> None:
    """It prints its table."""
    command = [sys.executable, "-m", "tests.benchmarks.headers", "--files", "3", "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "S3        ten at a time" in done.stdout


def test_concurrency_runs() -> None:
    """So does the measurement of async calls, for either way of making them."""
    command = [sys.executable, "-m", "tests.benchmarks.concurrency", "--repeats", "1", "--deadline", "0.2"]
    done = subprocess.run(
        [*command, "--tasks", "2", "--keys", "2", "--latency", "0.001"],
        env={**os.environ, "VAULT_TEST_DATABASE": "sqlite"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| threads | " in done.stdout
    assert "| loop | " in done.stdout


def test_what_the_comparison_says_of_this_package() -> None:
    """Its column of the table is what is found out again; the other packages are not installed for that."""
    page = (comparison.CHECKOUT / "docs" / "comparison.md").read_text()
    facts = comparison.facts_of("django-workos-vault")
    assert set(facts) == set(comparison.FACTS)
    for fact, found in facts.items():
        assert f"| {fact} | {found} |" in page


def test_the_benchmark_of_sizes_runs() -> None:
    """It prints a line for each size."""
    command = [sys.executable, "-m", "tests.benchmarks.sizes", "--megabytes", "2", "--repeats", "1"]
    environment = {**os.environ, "VAULT_TEST_DATABASE": "sqlite"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "| 1 MB |" in done.stdout


@pytest.mark.skipif(connection.vendor != "postgresql", reason="it compares with PostgreSQL's UPDATE")
def test_the_benchmark_of_reencryption_runs() -> None:
    """It prints its tables; one worker makes a request for each context and old key."""
    command = [sys.executable, "-m", "tests.benchmarks.reencryption", "--rows", "12", "--tenants", "3"]
    environment = {**os.environ, "VAULT_TEST_DATABASE_NAME": "bench_reencryption_smoke"}
    done = subprocess.run(
        [*command, "--repeats", "1", "--saves", "3"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|") for line in done.stdout.splitlines() if line.startswith("| `vault_reencrypt")]
    requests = [int(cells[-2]) for cells in lines]
    for contexts, (one, two, rekeyed) in ((1, requests[:3]), (3, requests[3:])):
        assert (one, rekeyed) == (2 * contexts, contexts)
        assert 2 * contexts <= two <= 5 * contexts
