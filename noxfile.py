"""The common tasks. ``nox -l`` lists them; ``.ci/run`` is the whole of what must hold."""

import nox

nox.options.sessions = ["tests", "lint"]
nox.options.default_venv_backend = "venv"


@nox.session
@nox.parametrize("django", ["5.2", "6.0", "6.1"])
def tests(session: nox.Session, django: str) -> None:
    """Run the tests on this Python: ``nox -s "tests(django='6.1')" -- tests/fields/test_fields.py``."""
    session.install("-e", ".[test]", f"django~={django}.0")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, mypy, import-linter and the check for missing migrations."""
    session.install("-e", ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("python", "manage.py", "makemigrations", "--check", "--dry-run")


@nox.session
def site(session: nox.Session) -> None:
    """Make the site of the pages under docs/, in build/site."""
    session.install("-e", ".[docs,test]")
    session.run("python", "-m", "sphinx", "-W", "--keep-going", "-b", "html", "docs", "build/site")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure against the floor and the peers: ``nox -s benchmarks -- --rows 20000``."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.benchmarks", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo."""
    session.install("-e", ".[demo]")
    session.run("python", "manage.py", "demo", *session.posargs)
