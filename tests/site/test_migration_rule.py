"""An old and a new version run on the same tables: migrations only add what the old one can ignore.

docs/deploy.md tells the rule. What breaks it must be named in `ALLOWED`, with the version since
which nothing uses it any more.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from jobs.migrating import AddIndexBeside
from jobs.models import Job

# The last ones before the first release.
BASELINE = {"jobs": "0005_indexes", "credentials": "0001_initial"}
# (app, migration, what `judge` says) -> why it is fine
ALLOWED: dict[tuple[str, str, str], str] = {}


def judge(operation: Operation, app: str, before: ProjectState) -> str | None:
    """What an older version could not live with; None where it can."""
    match operation:
        case migrations.CreateModel() | AddIndexBeside() | migrations.RemoveIndex():
            return None
        case migrations.AlterModelOptions() | migrations.AlterModelManagers():
            return None
        case migrations.AddField(field=field) if field.null or field.has_db_default():
            return None
        case migrations.AlterField() if _words_only(operation, app, before):
            return None
        case migrations.SeparateDatabaseAndState(database_operations=inner):
            found = (judge(each, app, before) for each in inner)
            return next((each for each in found if each), None)
    return operation.describe()


def _words_only(operation: migrations.AlterField, app: str, before: ProjectState) -> bool:
    """Whether the column stays as it is: choices, help texts and the like."""
    model = before.models[app, operation.model_name_lower]
    return _column(model.fields[operation.name]) == _column(operation.field)


def _column(field: Any) -> tuple[Any, ...]:
    _, path, args, kwargs = field.deconstruct()
    no_matter = {*field.non_db_attrs, "default"}
    return path, args, {name: value for name, value in kwargs.items() if name not in no_matter}


def complaints() -> Iterator[tuple[str, str, str]]:
    loader = MigrationLoader(None)
    for app, last in BASELINE.items():
        for name in sorted(each for owner, each in loader.disk_migrations if owner == app):
            if name <= last:
                continue
            migration = loader.disk_migrations[app, name]
            before = loader.project_state((app, name), at_end=False)
            for operation in migration.operations:
                if said := judge(operation, app, before):
                    yield app, name, said
                operation.state_forwards(app, before)


def test_every_migration_since_the_first_release_only_adds() -> None:
    assert set(complaints()) == set(ALLOWED)


def test_what_is_built_concurrently_is_in_no_transaction() -> None:
    loader = MigrationLoader(None)
    for migration in loader.disk_migrations.values():
        if any(isinstance(each, AddIndexBeside) for each in migration.operations):
            assert not migration.atomic


TEXT = models.TextField
GOOD: list[Operation] = [
    migrations.AddField("job", "note", TEXT(null=True)),
    migrations.AddField("job", "note", TEXT(db_default="")),
    migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True))]),
    AddIndexBeside("job", models.Index(fields=["stem"], name="by_stem")),
    migrations.RemoveIndex("job", "job_turns"),
    migrations.AlterModelOptions("job", {"verbose_name": "work"}),
    migrations.AlterField(
        "job", "state", models.CharField(max_length=10, choices=[("a", "A")], default="pending")
    ),
    migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("job", "stem")]),
]
BAD: list[Operation] = [
    migrations.AddField("job", "note", TEXT(default="")),  # which only the new version knows
    migrations.AddField("job", "note", TEXT()),
    migrations.RemoveField("job", "stem"),
    migrations.RenameField("job", "stem", "trunk"),
    migrations.RenameModel("Job", "Work"),
    migrations.DeleteModel("Job"),
    migrations.AlterModelTable("job", "work"),
    migrations.AlterField("job", "claimed_at", models.DateTimeField()),
    migrations.AlterField("job", "stem", models.CharField(max_length=63)),
    migrations.AlterField("job", "stem", models.CharField(max_length=64, unique=True)),
    migrations.AddIndex("job", models.Index(fields=["stem"], name="by_stem")),
    migrations.AddConstraint("job", models.UniqueConstraint(fields=["stem"], name="one_stem")),
    migrations.RunPython(migrations.RunPython.noop),
    migrations.RunSQL("SELECT 1"),
    migrations.SeparateDatabaseAndState([migrations.RemoveField("job", "stem")]),
]


@pytest.fixture(scope="module")
def now() -> ProjectState:
    return MigrationLoader(None).project_state()


@pytest.mark.parametrize("operation", GOOD, ids=Operation.describe)
def test_what_an_older_version_can_ignore(operation: Operation, now: ProjectState) -> None:
    assert judge(operation, "jobs", now) is None


@pytest.mark.parametrize("operation", BAD, ids=lambda each: type(each).__name__)
def test_what_it_cannot(operation: Operation, now: ProjectState) -> None:
    assert judge(operation, "jobs", now)


@pytest.mark.sql
@pytest.mark.django_db(transaction=True)
def test_an_index_is_built_beside_those_who_write(now: ProjectState) -> None:
    operation = AddIndexBeside("job", models.Index(fields=["stem"], name="by_stem_for_a_test"))
    after = now.clone()
    operation.state_forwards("jobs", after)

    def there() -> bool:
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, Job._meta.db_table)
        return "by_stem_for_a_test" in found

    with connection.schema_editor(atomic=False) as editor:
        operation.database_forwards("jobs", editor, now, after)
        if connection.vendor == "postgresql":
            operation.database_forwards("jobs", editor, now, after)  # one that was cut off
    assert there()
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("jobs", editor, after, now)
    assert not there()
