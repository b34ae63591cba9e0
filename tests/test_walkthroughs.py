"""Pages that begin with nothing are followed as they are written."""

import re
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.walkthrough import CHECKOUT, Walk

pytestmark = pytest.mark.slow


DOCS = CHECKOUT / "docs"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk(tmp_path)
    yield walk
    walk.close()


def test_the_tutorial_a_rotation_and_the_way_back(walk: Walk) -> None:
    """From nothing to a masked, searchable, rotated column; other keys; then out, with the values."""
    walk.follow(DOCS / "tutorial.md")
    look_at_the_admin(walk)
    walk.close()
    walk.follow(DOCS / "rotating.md")
    walk.follow(DOCS / "leaving.md")
    sources = [path for path in walk.path.rglob("*.py") if ".venv" not in path.parts]
    assert sources
    assert not [path for path in sources if "workos" in path.read_text()]


def test_adopting(walk: Walk) -> None:
    """Five deployments encrypt a column that is NOT NULL and unique; until the last there is a way back."""
    walk.follow(DOCS / "tutorial.md", until="## An encrypted column")
    walk.follow(DOCS / "adopting.md", until="## 5. Drop")
    walk.run("python manage.py migrate clinic 0001_initial")
    walk.run("python manage.py migrate")
    walk.follow(DOCS / "adopting.md", since="## 5. Drop")


def look_at_the_admin(walk: Walk) -> None:
    """The pages are masked, and the search finds, as the tutorial says."""
    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    page = browser.open(f"{walk.url}admin/").read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token
    said = {"csrfmiddlewaretoken": token[1], "username": "ada", "password": "a long password"}
    browser.open(f"{walk.url}admin/login/?next=/admin/clinic/patient/", urlencode(said).encode())
    for address, rows in {"": 2, "?q=123-45-6789": 1, "?q=6789": 0}.items():
        page = browser.open(f"{walk.url}admin/clinic/patient/{address}").read().decode()
        assert page.count('<td class="field-ssn">') == rows
        assert page.count('<td class="field-ssn">•••• ') == rows
        assert "987-65-4321" not in page  # the other one was searched for, and stands in the search box
