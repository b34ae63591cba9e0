"""Another index key for a column in use: lookups and uniqueness hold at every step.

The three declarations of a rotation are three models on one table, because during a deployment processes of
two neighbouring steps run side by side.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import isolate_apps

from django_workos_vault import vaults
from django_workos_vault.blind import Kind
from django_workos_vault.fields import EncryptedCharField
from django_workos_vault.indexes import BlindIndex, Exact
from django_workos_vault.maintenance.engine.rehearsal import Pass
from django_workos_vault.maintenance.operations import Resealing
from django_workos_vault.models import IndexKeyRecord
from tests.maintenance.reencrypting import at_once
from tests.tables import tables

ROWS = 40
WRITES = 12

FIRST = models.UniqueConstraint(BlindIndex("handle"), name="member_handle")
SECOND = models.UniqueConstraint(BlindIndex("handle", "exact", version=2), name="member_handle_2")


def member(name: str, *kinds: Kind | None) -> Any:
    """A model of the one table, as the code of one step declares it."""
    field = EncryptedCharField(max_length=50, label="app.Member.handle", blind_indexes=kinds)
    meta = type("Meta", (), {"app_label": "app", "db_table": "app_member"})
    attributes = {"handle": field, "Meta": meta, "__module__": __name__, "__str__": lambda self: "member"}
    return type(name, (models.Model,), attributes)


class Steps:
    def __init__(self) -> None:
        self.before = member("Before", Exact())
        self.during = member("During", Exact(), Exact(version=2))
        self.after = member("After", None, Exact(version=2))


@pytest.fixture
def steps(transactional_db: None) -> Iterator[Steps]:
    with isolate_apps("tests.app"):
        steps = Steps()
    with tables(steps.before):
        constrain(steps.before, FIRST)
        steps.before.objects.bulk_create([steps.before(handle=f"member {n}") for n in range(ROWS)])
        yield steps


def reencrypt(model: Any) -> None:
    run = Pass([model._meta.get_field("handle")], Resealing(), using="default", batch_size=7)
    assert sum(run.batches()) >= ROWS
    assert not run.left


def use(model: Any, tag: str) -> None:
    """Register, look up, rename and try to register twice, as an application does all day."""
    for n in range(WRITES):
        taken = f"member {n % ROWS}"
        assert model.objects.get(handle=taken).handle == taken
        with pytest.raises(IntegrityError), transaction.atomic():
            model.objects.create(handle=taken)
        made = model.objects.create(handle=f"{tag} {n}")
        assert model.objects.get(handle__in=[f"{tag} {n}", "nobody"]) == made
        model.objects.filter(handle=f"{tag} {n}").update(handle=f"{tag} {n} renamed")
        assert not model.objects.filter(handle=f"{tag} {n}").exists()
        assert model.objects.filter(handle=f"{tag} {n} renamed").count() == 1


def constrain(model: Any, constraint: models.UniqueConstraint) -> None:
    with connection.schema_editor() as editor:
        editor.add_constraint(model, constraint)


def release(model: Any, constraint: models.UniqueConstraint) -> None:
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs writers that really run at once")
def test_rotation_under_way_with_writers(steps: Steps) -> None:
    """Lookups are right and duplicates refused from the first step to the last, whoever writes meanwhile."""
    at_once(lambda: use(steps.before, "a"), lambda: use(steps.during, "b"))
    at_once(lambda: use(steps.during, "c"), lambda: reencrypt(steps.during))
    at_once(lambda: use(steps.during, "d"), lambda: constrain(steps.during, SECOND))
    at_once(lambda: use(steps.during, "e"), lambda: release(steps.before, FIRST))
    at_once(lambda: use(steps.during, "f"), lambda: use(steps.after, "g"), lambda: reencrypt(steps.after))
    assert steps.after.objects.filter(handle__in=[f"member {n}" for n in range(ROWS)]).count() == ROWS


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no unique indexes on expressions")
def test_steps_of_a_rotation(steps: Steps) -> None:
    """Each step alone, on every database with expression indexes."""
    use(steps.during, "a")
    reencrypt(steps.during)
    constrain(steps.during, SECOND)
    use(steps.during, "b")
    release(steps.before, FIRST)
    use(steps.after, "c")
    reencrypt(steps.after)
    use(steps.after, "d")


@pytest.mark.skipif(connection.vendor == "mysql", reason="MariaDB has no unique indexes on expressions")
def test_constraint_before_reencryption_is_refused(steps: Steps) -> None:
    """Too early, the new constraint is an error of the migration; it never pretends to hold."""
    with pytest.raises(IntegrityError):
        constrain(steps.during, SECOND)


def test_new_version_has_a_root_key_of_its_own(steps: Steps) -> None:
    """Rotation makes a new key in Vault: who has the old root key cannot compute the new digests."""
    steps.during.objects.create(handle="new")
    assert sorted(IndexKeyRecord.objects.values_list("version", flat=True)) == [1, 2]
    IndexKeyRecord.objects.filter(version=1).delete()
    vaults.reset()
    reencrypt(steps.after)
    assert steps.after.objects.get(handle="new").handle == "new"
    assert list(IndexKeyRecord.objects.values_list("version", flat=True)) == [2]
