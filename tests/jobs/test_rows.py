"""Rows past the ORM: the same values go in and come out as with it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError

from jobs import rows
from jobs.models import HostedFile, Job, Success
from tests.jobs.making import make_job

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]

BY_ID = f"SELECT {rows.columns(Job)} FROM jobs_job WHERE id = %(id)s"  # noqa: S608 - names of the model


def hosted(path: str, **changes: Any) -> dict[str, Any]:
    fixed = {
        "sha256": "a" * 64,
        "bytes": 1,
        "mtime_ns": 2,
        "media_type": "image/jpeg",
        "private": False,
    }
    return {"path": path, **fixed, **changes}


def test_every_kind_of_value_comes_back_as_from_the_orm() -> None:
    job = make_job()
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    changes = {
        "warnings": [{"code": "ä", "message": '"%s"'}],
        "timings": {"decode": 1.5},
        "claimed_at": moment,
        "has_source": False,
        "turn": 2**40,
    }
    assert rows.update(Job, changes, where={"id": job.pk}) == 1
    stored = Job.objects.get()
    assert {name: getattr(stored, name) for name in changes} == changes
    found = rows.fetch(Job, BY_ID, {"id": job.pk})
    assert found is not None
    for field in Job._meta.concrete_fields:
        assert getattr(found, field.attname) == getattr(stored, field.attname), field.attname
    assert found.uid == job.uid
    assert not found._state.adding


def test_nothing_found() -> None:
    assert rows.fetch(Job, BY_ID, {"id": 1}) is None


def test_update_writes_only_where_everything_fits() -> None:
    job = make_job()
    assert rows.update(Job, {"owner": "me"}, where={"id": job.pk, "fence": 1}) == 0
    assert rows.update(Job, {"owner": "me"}, where={"id": job.pk, "fence": 0}) == 1
    assert Job.objects.get().owner == "me"


def test_update_of_none_of_many_writes_nothing() -> None:
    make_job()
    assert rows.update(Job, {"owner": "me"}, where={"id": ()}) == 0


def test_insert_as_the_orm_would() -> None:
    job = make_job()
    values = {
        "job_id": job.pk,
        "reference_id": job.reference_id,
        "subject": "alice",
        "timestamp": datetime(2026, 1, 2, tzinfo=UTC),
        "job_data": {"formats": {"jpg": {}}},
        "file_count": 1,
        "output_bytes": 2,
    }
    rows.insert(Success, [values])
    stored = Success.objects.get(timestamp=values["timestamp"])
    assert {name: getattr(stored, name) for name in values} == values


def test_insert_many_or_none() -> None:
    rows.insert(HostedFile, [])
    rows.insert(HostedFile, [hosted("a"), hosted("b")])
    assert list(HostedFile.objects.values_list("path", "job")) == [("a", None), ("b", None)]


def test_insert_replaces_by_a_unique_field_only_if_asked() -> None:
    rows.insert(HostedFile, [hosted("a")])
    with pytest.raises(DatabaseError):
        rows.insert(HostedFile, [hosted("a", bytes=3)])
    rows.insert(HostedFile, [hosted("a", bytes=3), hosted("b")], replace_by="path")
    assert dict(HostedFile.objects.values_list("path", "bytes")) == {"a": 3, "b": 1}


def test_what_a_model_lacks_or_a_row_forgets_is_an_error() -> None:
    with pytest.raises(FieldDoesNotExist):
        rows.insert(HostedFile, [hosted("a", colour="red")])
    forgets = hosted("b")
    del forgets["bytes"]
    with pytest.raises(KeyError):
        rows.insert(HostedFile, [hosted("a"), forgets])
    with pytest.raises(DatabaseError):
        rows.insert(HostedFile, [forgets])
    assert not HostedFile.objects.exists()
