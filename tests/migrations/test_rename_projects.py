"""Projects that rename encrypted columns: real makemigrations, real migrate, rows that still open."""

from pathlib import Path

import pytest

from tests.project import Project

pytestmark = pytest.mark.slow

PATIENT = """
class {model}(models.Model):
    name = models.CharField(max_length=20)
    {field} = EncryptedCharField(max_length=20, {options})
"""


def patient(model: str = "Patient", field: str = "ssn", options: str = "") -> str:
    return PATIENT.format(model=model, field=field, options=options)


@pytest.fixture(scope="module")
def with_a_row(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    project.models(patient())
    project.manage("makemigrations", "clinic")
    project.manage("migrate")
    project.python("Patient.objects.create(name='Ada', ssn='123-45-6789')")
    return project


@pytest.fixture
def project(with_a_row: Project, tmp_path: Path) -> Project:
    return with_a_row.copy(tmp_path)


@pytest.mark.parametrize(
    ("model", "field", "options"),
    [
        ("Patient", "national_id", "previous_labels=('clinic.Patient.ssn',)"),
        ("Patient", "national_id", "label='clinic.Patient.ssn', mask='last4', default='none yet'"),
        ("Client", "ssn", "previous_labels=('clinic.Patient.ssn',), default='none yet'"),
        ("Client", "ssn", "label='clinic.Patient.ssn', key_context={'customer': 'acme'}"),
    ],
)
def test_rows_survive_a_rename(project: Project, model: str, field: str, options: str) -> None:
    """A rename together with all that the page on rows names keeps every value, here and from nothing."""
    project.models(patient(model, field, options))
    project.manage("makemigrations", "clinic", answers="y\n")
    project.manage("makemigrations", "clinic")  # records what changed beside the name
    project.manage("makemigrations", "--check", "clinic")
    project.manage("migrate")
    assert "123-45-6789" in project.python(f"print({model}.objects.get().{field})")
    project.use_database("second")
    project.manage("migrate")
    project.python(f"{model}.objects.create(name='Eve', {field}='1')")
    assert "none yet" not in "".join(path.read_text() for path in project.migrations.glob("*.py"))


@pytest.mark.parametrize("options", ["label='clinic.Patient.ssn'", "previous_labels=('clinic.Patient.ssn',)"])
@pytest.mark.parametrize("model", ["Patient", "Client"])
def test_a_rename_written_as_removal_is_refused(project: Project, model: str, options: str) -> None:
    """Nobody was asked, so the files remove the column; migrate refuses them, and the hint's way passes."""
    field = "ssn" if model == "Client" else "national_id"
    project.models(patient(model, field, f"null=True, {options}"))
    project.manage("makemigrations", "clinic", "--noinput")
    said = project.manage("migrate", status=1)
    assert "E070" in said
    assert "E070" in project.manage("check", status=1)
    rename = (
        "RenameModel('Patient', 'Client')"
        if model == "Client"
        else "RenameField('patient', 'ssn', 'national_id')"
    )
    for path in project.migrations.glob("0002_*.py"):
        path.unlink()
    project.write_migration(
        "0002_rename",
        "from django.db import migrations\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('clinic', '0001_initial')]\n    operations = [migrations.{rename}]\n",
    )
    project.manage("check")
    project.manage("migrate")
    assert "123-45-6789" in project.python(f"print({model}.objects.get().{field})")


def test_what_was_dropped_long_ago_does_not_stop_migrate(project: Project) -> None:
    """Where the removal has run, there is nothing left to save, and other migrations go on."""
    project.models(patient("Patient", "national_id", "null=True"))
    project.manage("makemigrations", "clinic", "--noinput")
    project.manage("migrate")
    project.models(patient("Patient", "national_id", "null=True, previous_labels=('clinic.Patient.ssn',)"))
    project.manage("migrate")
    for path in [*project.migrations.glob("0002_*.py")]:  # squashed, but not for the optimizer
        source = path.read_text().replace(
            "class Migration(migrations.Migration):",
            f"class Migration(migrations.Migration):\n    replaces = [('clinic', {path.stem!r})]",
        )
        project.write_migration("0002_squashed", source)
    project.manage("migrate")


def test_a_default_typed_at_the_prompt_is_not_written(project: Project) -> None:
    """A one-off default would stand in the migration in clear, so makemigrations refuses to write it."""
    project.models(patient() + "    extra = EncryptedCharField(max_length=20)\n")
    said = project.manage("makemigrations", "clinic", answers="1\n'sesame'\n", status=1)
    assert "Give the field default= in the model" in said
    assert "sesame" not in "".join(path.read_text() for path in project.migrations.glob("*.py"))


NOTES = patient() + "    {field} = EncryptedCharField(max_length=20, default='sesame', {options})\n"


def test_old_labels_can_be_done_with(with_a_row: Project, tmp_path: Path) -> None:
    """After SealForLabel no check asks for previous_labels, and a database that lags behind still arrives."""
    project = with_a_row.copy(tmp_path)
    project.models(NOTES.format(field="notes", options=""))
    project.manage("makemigrations", "clinic", "-n", "add")
    project.use_database("second")
    project.manage("migrate")
    project.python("Patient.objects.create(name='Eve', ssn='1', notes='hers')")
    labels = "('clinic.Patient.notes',)"
    project.models(NOTES.format(field="remarks", options=f"previous_labels={labels}"))
    project.manage("makemigrations", "clinic", "-n", "rename", answers="y\n")
    project.write_migration(
        "0004_seal",
        "from django.db import migrations\nfrom django_workos_vault.operations import SealForLabel\n\n"
        "class Migration(migrations.Migration):\n    atomic = False\n"
        "    dependencies = [('clinic', '0003_rename')]\n"
        f"    operations = [SealForLabel('Patient', 'remarks', 'clinic.Patient.remarks', {labels})]\n",
    )
    project.models(NOTES.format(field="remarks", options=""))
    project.manage("makemigrations", "--check", "clinic")
    project.manage("check")
    for database, expected in ("second", "hers"), ("first", "sesame"), ("third", ""):
        project.use_database(database)
        project.manage("migrate")
        assert expected in project.python("print([p.remarks for p in Patient.objects.all()])")
    project.models(patient())
    project.manage("makemigrations", "clinic", "-n", "drop")
    project.use_database("fourth")
    project.manage("migrate")


def test_a_database_that_lags_behind_a_dropped_default(project: Project) -> None:
    """Its rows need a default that nobody has any more: migrate stops, says what to do, and that works."""
    project.models(NOTES.format(field="notes", options=""))
    project.manage("makemigrations", "clinic", "-n", "add")
    project.models(patient())
    project.manage("makemigrations", "clinic", "-n", "drop")
    said = project.manage("migrate", status=1)
    assert "a function of yours" in said.replace("\n", " ")
    source = project.migration(2)
    assert "django_workos_vault.fields.DefaultOf('clinic.Patient', 'notes')" in source
    by_hand = source.replace("django_workos_vault.fields.DefaultOf('clinic.Patient', 'notes')", "by_hand")
    project.write_migration(
        "0002_add", by_hand.replace("class Migration", "def by_hand():\n    return ''\n\n\nclass Migration")
    )
    project.manage("migrate")
    assert "123-45-6789" in project.python("print(Patient.objects.get().ssn)")


UNIQUE = """
class Patient(models.Model):
    name = models.CharField(max_length=20)
    {field} = EncryptedCharField(max_length=20, blind_indexes=[Exact()], {options})

    class Meta:
        constraints = [models.UniqueConstraint(BlindIndex({field!r}), name="patient_unique")]
"""


def test_a_unique_column_is_renamed(tmp_path: Path) -> None:
    """The checks lead to the old label, migrate runs, and no value gets in twice."""
    project = Project(tmp_path)
    project.models(UNIQUE.format(field="ssn", options=""))
    project.manage("makemigrations", "clinic")
    project.manage("migrate")
    project.python("Patient.objects.create(ssn='1')")
    project.models(UNIQUE.format(field="national_id", options=""))
    project.manage("makemigrations", "clinic", answers="y\n")
    said = project.manage("migrate", status=1)
    assert "E009" in said
    assert "label='clinic.Patient.ssn', no previous_labels" in said
    project.models(UNIQUE.format(field="national_id", options="label='clinic.Patient.ssn'"))
    project.manage("makemigrations", "clinic")
    project.manage("check")
    project.manage("migrate")
    said = project.python(
        "from django.db import IntegrityError\n"
        "assert Patient.objects.get(national_id='1').national_id == '1'\n"
        "try:\n    Patient.objects.create(national_id='1')\n"
        "except IntegrityError:\n    print('refused')"
    )
    assert "refused" in said
