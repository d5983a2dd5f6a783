"""`manage.py prune_staging`: folders that no job needs go, once they are old enough."""

import io
import os
import time
import uuid
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django import Settings

from credentials.models import Credential
from jobs import staging
from jobs.states import State
from tests.commands.library import make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folders")]

HOUR_S = 3600
HALF = ".tmp-0123456789abcdef-0123456789abcdef"


def prune(*arguments: str) -> str:
    out = io.StringIO()
    call_command("prune_staging", *arguments, stdout=out)
    return out.getvalue().strip()


def orphan(*, hours_old: float) -> Path:
    return aged(staging.folder(uuid.uuid4()), hours_old)


def aged(folder: Path, hours_old: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    then = time.time() - hours_old * HOUR_S
    os.utime(folder, (then, then))
    return folder


def test_old_orphans_go_and_young_ones_stay() -> None:
    old, young = orphan(hours_old=0.02), orphan(hours_old=0)
    assert prune() == "removed 1 orphaned staging folders"
    assert not old.exists()
    assert young.exists()


def test_the_age_can_be_given() -> None:
    young = orphan(hours_old=1)
    assert prune("--min-age", "7200") == "removed 0 orphaned staging folders"
    assert prune("--min-age", "60") == "removed 1 orphaned staging folders"
    assert not young.exists()


def test_a_dry_run_only_counts() -> None:
    old = orphan(hours_old=1)
    assert prune("--dry-run") == "would remove 1 orphaned staging folders"
    assert old.exists()


@pytest.mark.parametrize(
    ("state", "kept_source", "goes"),
    [
        (State.CREATED, True, False),
        (State.PENDING, True, False),
        (State.PROCESSING, True, False),
        (State.FAILED, True, False),
        (State.FAILED, False, True),
        (State.COMPLETED, False, True),
        (State.CANCELLED, False, True),
    ],
)
def test_what_a_job_needs_stays(state: State, kept_source: bool, goes: bool) -> None:
    folder = aged(staging.folder(make_job("x", state, kept_source=kept_source).uid), 7)
    assert prune() == f"removed {int(goes)} orphaned staging folders"
    assert folder.exists() is not goes


def test_what_is_not_ours_stays() -> None:
    stranger = aged(staging.root() / "lost+found", 100)
    prune()
    assert stranger.exists()


def test_an_installation_without_staging_is_fine() -> None:
    assert prune() == "removed 0 orphaned staging folders"


def test_half_written_files_go_too(
    own_folders: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Below /files/ and in the folders of credentials, as far as the operator lets them."""
    folders = [own_folders / name for name in ("serve", "mine", "not-mine")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / HALF).write_bytes(b"ab")
        data = {"root": str(folder)}
        Credential.objects.create(key=folder.name, type="local", options=data)
    roots = (own_folders / "mine",)
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"local_roots": roots})
    prune()
    assert all((folder / HALF).exists() for folder in folders)
    # What counts is the time of the link, which nobody can set back: so the clock goes forward.
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 7 * HOUR_S)
    prune()
    assert [folder.name for folder in folders if (folder / HALF).exists()] == ["not-mine"]
