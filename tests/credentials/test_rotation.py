"""`manage.py rotate_credential_keys`: all that is sealed comes under the newest key."""

import io
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from credentials import rotation, secret
from credentials.models import Credential
from credentials.rotation import Column
from credentials.sealing import Unreadable, is_newest, newest_key_id, seal, unseal
from jobs.intake import headers_purpose, seal_headers
from jobs.models import Callback, Job
from jobs.states import State
from tests.commands.library import make_job
from tests.credentials.conftest import make, new_key
from tests.jobs.making import owe
from tests.server import ROOT, wait_for

Keys = Callable[..., None]
OLD, NEW = new_key(), new_key()
HEADERS = {"X-Key": "hush"}


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, settings: Settings) -> None:
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"data_dir": tmp_path})


def rotate() -> str:
    out = io.StringIO()
    call_command("rotate_credential_keys", stdout=out)
    return out.getvalue()


def job_with_headers() -> Job:
    job = make_job("old", State.COMPLETED)
    job.sealed_headers = seal_headers(job.uid, HEADERS)
    job.save(update_fields=["sealed_headers"])
    owe(job, sealed_headers=job.sealed_headers)
    return job


@pytest.mark.django_db
def test_everything_sealed_is_sealed_anew(keys: Keys) -> None:
    keys(OLD)
    credential, job = make(), job_with_headers()
    before = credential.fingerprint
    keys(NEW, OLD)
    assert rotate() == f"sealed 3 anew with the key {newest_key_id()}\n"
    keys(NEW)
    credential.refresh_from_db()
    job.refresh_from_db()
    assert secret.take(credential) == {"secret_access_key": "hush-secret"}
    assert (credential.key_id, credential.fingerprint) == (newest_key_id(), before)
    for sealed in (job.sealed_headers, Callback.objects.get().sealed_headers):
        assert unseal(sealed, purpose=headers_purpose(job.uid)) == HEADERS
    assert rotate().startswith("sealed 0 anew")


@pytest.mark.django_db
def test_every_sealed_column_is_known() -> None:
    """A model that gets a sealed column must register it."""
    from django.apps import apps

    found = {
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.name.startswith("sealed")
    }
    assert found == set(rotation._columns)


@pytest.mark.django_db
def test_what_no_key_opens_is_named_and_stays(keys: Keys) -> None:
    keys(new_key())
    lost = make("lost")
    keys(OLD)
    make("kept")
    keys(NEW, OLD)
    with pytest.raises(CommandError) as caught:
        rotate()
    assert str(lost.pk) in str(caught.value)
    sealed = Credential.objects.get(key="lost").sealed
    assert sealed == lost.sealed
    keys(NEW)
    assert secret.take(Credential.objects.get(key="kept"))


@pytest.mark.django_db
def test_what_a_running_server_writes_meanwhile_is_kept(keys: Keys) -> None:
    """Its write falls between our look and our update: the update must not find its row."""
    keys(OLD)
    made = make()
    keys(NEW, OLD)
    fresh = seal({"secret_access_key": "fresh"}, purpose=secret.purpose(made.pk))

    def meanwhile(row: Credential) -> str:
        Credential.objects.filter(pk=row.pk).update(sealed=fresh)
        return secret.purpose(row.pk)

    done = rotation.Rotated()
    rotation._reseal(Column(Credential, "sealed", meanwhile), made, done)
    assert done.resealed == 0
    made.refresh_from_db()
    assert secret.take(made) == {"secret_access_key": "fresh"}


@pytest.mark.django_db
def test_more_rows_than_one_batch(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_BATCH", 3)
    keys(OLD)
    for number in range(10):
        make(f"key-{number}")
    keys(NEW, OLD)
    assert rotate().startswith("sealed 10 anew")
    keys(NEW)
    assert all(secret.is_readable(row) for row in Credential.objects.all())


ROWS = 1500


def _fill(keys: Keys) -> None:
    keys(OLD)
    rows = []
    for number in range(ROWS):
        row = Credential(id=uuid.uuid4(), key=f"key-{number}", type="s3")
        secret.put(row, {"secret_access_key": f"secret {number}"})
        rows.append(row)
    Credential.objects.bulk_create(rows)


def _start(keys: str) -> subprocess.Popen[bytes]:
    """The command as its own process, on the tests' database."""
    code = (
        "import os, sys\n"
        "from tests import settings\n"
        f"settings.DATABASES['default']['NAME'] = {str(connection.settings_dict['NAME'])!r}\n"
        "from dataclasses import replace\n"
        "settings.KEYS = replace(settings.KEYS, credential_keys=tuple(sys.stdin.read().split()))\n"
        "import django\ndjango.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('rotate_credential_keys')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert process.stdin is not None
    process.stdin.write(keys.encode())
    process.stdin.close()
    return process


def _count_new(new_id: str) -> int:
    return Credential.objects.filter(key_id=new_id).count()


@pytest.mark.django_db(transaction=True)
def test_killed_in_the_middle_and_begun_again(keys: Keys) -> None:
    _fill(keys)
    keys(NEW, OLD)
    first = _start(f"{NEW} {OLD}")
    wait_for(lambda: _count_new(newest_key_id()) > 20, what="the first rows", every_s=0.001)
    first.send_signal(signal.SIGKILL)
    assert first.wait(10) == -signal.SIGKILL
    done = _count_new(newest_key_id())
    assert 20 < done < ROWS, "the kill did not come in the middle"
    assert all(secret.is_readable(row) for row in Credential.objects.all())

    assert _start(f"{NEW} {OLD}").wait(60) == 0
    keys(NEW)
    for row in Credential.objects.all():
        number = row.key.removeprefix("key-")
        assert secret.take(row) == {"secret_access_key": f"secret {number}"}
        assert row.key_id == newest_key_id()


def test_the_newest_key_is_told_from_older_ones(keys: Keys) -> None:
    keys(OLD)
    sealed = seal("x", purpose="p")
    assert is_newest(sealed, purpose="p")
    keys(NEW, OLD)
    assert not is_newest(sealed, purpose="p")
    with pytest.raises(Unreadable):
        unseal(sealed, purpose="q")
