"""Pages that begin with nothing are followed as they are written."""

import os
import re
import shutil
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from django_workos_vault.backends.local import LocalVault
from django_workos_vault.emulator.app import Emulator
from django_workos_vault.emulator.server import EmulatorServer
from tests.walkthrough import CHECKOUT, Walk

pytestmark = pytest.mark.slow


DOCS = CHECKOUT / "docs"
TEST_KEY, LIVE_KEY = "sk_test_of_nobody", "sk_live_of_nobody"  # vault_check tells where each is out of place


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[Walk]:
    walk = Walk(tmp_path)
    yield walk
    walk.close()


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that the tutorial makes, up to its two rows."""
    walk = Walk(tmp_path_factory.mktemp("tutorial"))
    walk.lend_python()
    walk.run("python -m django startproject mysite .\npython manage.py startapp clinic")
    walk.follow(DOCS / "tutorial.md", since="## A vault", until="## Search it")
    return walk.path


@pytest.fixture
def clinic(walk: Walk, tutorial: Path) -> Walk:
    """A copy of the tutorial's project."""
    shutil.copytree(tutorial, walk.path, dirs_exist_ok=True)
    walk.lend_python()
    return walk


@pytest.fixture
def production(clinic: Walk) -> Iterator[Walk]:
    """The copy, with what answers in the place of WorkOS, its API key in the environment."""
    vault = LocalVault(master_key=os.urandom(32), objects_file=":memory:")
    with EmulatorServer(Emulator(vault, [TEST_KEY, LIVE_KEY])) as server:
        clinic.emulator = server.url
        clinic.environment["WORKOS_API_KEY"] = LIVE_KEY
        yield clinic


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
    walk.follow(DOCS / "adopting.md", since="## 5. Drop", until="Deploy everywhere, and only then")
    between = 'Taxpayer.objects.create(name="Between", tax_id="DE000001002")'
    code = f"from clinic.models import Taxpayer; print({between}.delete()[0])"
    assert ask(walk, code) == "1"
    walk.follow(DOCS / "adopting.md", since="Deploy everywhere, and only then")


def ask(walk: Walk, code: str) -> str:
    """What one line in the project's shell prints, the last line of it."""
    return walk.run(f"python manage.py shell -c '{code}'").strip().splitlines()[-1]


def replace(walk: Walk, file: str, old: str, new: str) -> None:
    """What a page says in words alone."""
    text = (walk.path / file).read_text()
    assert old in text
    (walk.path / file).write_text(text.replace(old, new))


def test_renaming(clinic: Walk) -> None:
    """A field is renamed, and later the cells have the new label alone."""
    clinic.follow(DOCS / "renaming.md", until="3. Later")
    number = 'from clinic.models import Patient; print(Patient.objects.get(number="123-45-6789").number)'
    assert ask(clinic, number) == "123-45-6789"
    clinic.follow(DOCS / "renaming.md", since="3. Later")
    clinic.run("python manage.py migrate")
    replace(clinic, "clinic/models.py", ', previous_labels=("clinic.Patient.ssn",)', "")
    clinic.run("python manage.py makemigrations clinic\npython manage.py migrate")
    assert ask(clinic, number) == "123-45-6789"


def test_moving(production: Walk) -> None:
    """From the file on a disk to WorkOS, with searches and reveals on the way, and its settings can go."""
    page = DOCS / "moving.md"
    reveal = 'from django_workos_vault import vaults\nwith vaults["{}"].justified("ticket"):\n    pass\n'
    production.run("python manage.py shell", reveal.format("default"))
    production.environment["WORKOS_API_KEY"] = TEST_KEY
    production.follow(page, until="**2.")
    replace(production, "clinic/models.py", 'mask="last4"', 'mask="last4", vault="production"')
    production.follow(page, since="**2.", until="**3.")
    number = 'from clinic.models import Patient; print(Patient.objects.get(ssn="123-45-6789").ssn)'
    assert ask(production, number) == "123-45-6789"
    production.follow(page, since="**3.", until="## Objects in Vault")
    production.follow(page, since="## Objects in Vault", until="python manage.py shell")
    production.run("python manage.py makemigrations clinic\npython manage.py migrate")
    production.follow(page, since="```sh\npython manage.py shell")
    replace(production, "mysite/settings.py", '"ALSO_READS": ["default"],', "")
    with (production.path / "mysite/settings.py").open("a") as file:
        file.write('\ndel WORKOS_VAULTS["default"]\n')
    production.run("rm vault.key")
    assert ask(production, number) == "123-45-6789"
    production.run("python manage.py shell", reveal.format("production"))
    production.run("python manage.py vault_check --all")


def test_backups(clinic: Walk) -> None:
    """Rows that were changed and sealed again since are what they were, and open."""
    clinic.run("cp db.sqlite3 backup.sqlite3")
    clinic.run("python manage.py vault_reencrypt clinic.Patient")
    assert ask(clinic, "from clinic.models import Patient; print(Patient.objects.all().delete()[0])") == "2"
    clinic.run("cp backup.sqlite3 db.sqlite3")
    clinic.follow(DOCS / "backups.md")
    assert (
        ask(clinic, "from clinic.models import Patient; print(Patient.objects.first().ssn)") == "123-45-6789"
    )


def test_incidents(clinic: Walk) -> None:
    """The commands of each kind of leak, one after the other."""
    clinic.follow(DOCS / "incidents.md")
    assert (
        ask(clinic, "from clinic.models import Patient; print(Patient.objects.first().ssn)") == "123-45-6789"
    )


@pytest.mark.parametrize("page", ["celery.md", "testing.md"])
def test_in_the_tutorials_project(clinic: Walk, page: str) -> None:
    """They begin where the tutorial ends, and print what they say."""
    clinic.follow(DOCS / page)


def test_deploying(production: Walk) -> None:
    """Into an empty database, which is what production begins with."""
    production.run("rm db.sqlite3 vault.key")
    replace(production, "mysite/settings.py", "DEBUG = True", "DEBUG = False")
    production.follow(DOCS / "deploying.md")


@pytest.mark.parametrize("page", ["apis", "async", "searching", "unique"])
def test_a_model_of_the_pages_own(clinic: Walk, page: str) -> None:
    """The page adds a model to the project, works as it says, and leaves the system checks silent."""
    clinic.follow(DOCS / f"{page}.md")
    assert "no issues" in clinic.run("python manage.py check")


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
