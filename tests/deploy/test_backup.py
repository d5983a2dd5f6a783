"""`backup` beside a server that works, and `restore` onto an empty machine."""

import json
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from jobs import holds, staging
from pixerve_site import backup, restore
from tests.acceptance.evidence import (
    QUICK_JOB,
    SMALL,
    another,
    held,
    post,
    wait_ended,
)
from tests.deploy.backing import NOT_OURS, backing_up, check_goes_on, uploading
from tests.deploy.conftest import Split
from tests.server import ROOT, Pixerve, free_port, wait_for


def jobs_in(path: Path) -> dict[str, str]:
    """Job id -> state, of a copied database."""
    with closing(sqlite3.connect(path)) as copy:
        return dict(copy.execute("SELECT uid, state FROM jobs_job").fetchall())


def test_nothing_acknowledged_is_lost_and_what_was_in_flight_goes_on(
    split: Split, tmp_path: Path
) -> None:
    target = tmp_path / "backup"
    before = [post(split.web, another(SMALL, "done"), QUICK_JOB)]
    wait_ended(split.web, before)
    with uploading(split.web) as meanwhile:
        with held(split.web, "held") as first:
            before += [first]
            before += [post(split.web, another(SMALL, f"before {n}"), QUICK_JOB) for n in range(3)]
            making = backing_up(split.web, target)
            keeps = split.web.data / "run" / "keep-staging"
            wait_for(lambda: keeps.exists() or making.poll() is not None, what="its beginning")
        # From here on jobs end while it reads.
        _, said = making.communicate(timeout=60)
    assert (making.returncode, said) == (0, NOT_OURS)
    copied = jobs_in(target / "pixerve.sqlite3")
    assert set(before) <= set(copied)
    assert {"pending", "processing"} & set(copied.values())

    new = Pixerve(tmp_path / "new", free_port(), {**split.web.env, "PIXERVE_SENDFILE": "off"})
    assert new.manage("restore", str(target)).returncode == 0
    assert (new.data / "secret_key").read_text() == (split.web.data / "secret_key").read_text()
    check_goes_on(new, [uid for uid in copied if uid in {*before, *meanwhile}])


@pytest.fixture
def installation(tmp_path: Path, settings: Settings) -> Path:
    """Settings of an empty installation below `tmp_path`."""
    folders = {"data_dir": tmp_path / "data", "serve_dir": tmp_path / "serve"}
    settings.PIXERVE = settings.PIXERVE.model_copy(update=folders)
    return tmp_path


def an_empty_backup(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    manifest = {"version": "0.1.0", "made_at": "", "keys": [], "jobs": 0, "missing": 0, "files": 0}
    (folder / "backup.json").write_text(json.dumps(manifest | changes))
    return folder


def test_half_a_backup_is_not_restored(installation: Path) -> None:
    source = an_empty_backup(installation / "backup")
    (source / "backup.json").unlink()
    with pytest.raises(restore.RestoreError, match="no whole backup"):
        restore.bring_back(source)
    assert not (installation / "data").exists()


def test_nor_one_of_a_newer_version(installation: Path) -> None:
    source = an_empty_backup(installation / "backup", version="99.0")
    with pytest.raises(restore.RestoreError, match="newer"):
        restore.bring_back(source)


def test_nor_one_of_another_kind_of_database(installation: Path) -> None:
    source = an_empty_backup(installation / "backup", database="pixerve.dump")
    with pytest.raises(restore.RestoreError, match="PIXERVE_DATABASE_URL says otherwise"):
        restore.bring_back(source)


def test_nor_one_among_files_of_somebody(installation: Path) -> None:
    (installation / "serve").mkdir()
    (installation / "serve" / "mine.jpg").touch()
    with pytest.raises(restore.RestoreError, match="there are files"):
        restore.bring_back(an_empty_backup(installation / "backup"))


def test_nor_one_over_a_database(installation: Path) -> None:
    (installation / "data").mkdir()
    (installation / "data" / "pixerve.sqlite3").touch()
    with pytest.raises(restore.RestoreError, match="there is a database"):
        restore.bring_back(an_empty_backup(installation / "backup"))


def test_a_restore_that_was_cut_off_is_begun_again(installation: Path) -> None:
    source = an_empty_backup(installation / "backup", keys=["secret_key"])
    with pytest.raises(FileNotFoundError):
        restore.bring_back(source)
    assert restore.is_cut_off()
    (installation / "serve").mkdir()
    (installation / "serve" / "half.jpg").touch()
    with pytest.raises(FileNotFoundError):  # no refusal
        restore.bring_back(source)


def test_serve_does_not_start_on_half_a_restore(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (installation / "data/run").mkdir(parents=True)
    (installation / "data/run/restoring").touch()
    with pytest.raises(CommandError, match="a restore was cut off here"):
        call_command("serve", "clerk")


def test_a_backup_goes_into_an_empty_folder_elsewhere(installation: Path) -> None:
    full = installation / "full"
    full.mkdir()
    (full / "something").touch()
    with pytest.raises(backup.BackupError, match="not empty"):
        backup.make(full)
    with pytest.raises(backup.BackupError, match="which is to be copied"):
        backup.make(installation / "data" / "backup")


def test_while_staging_is_kept_nothing_goes_and_then_all_of_it(installation: Path) -> None:
    folders = [uuid.uuid4() for _ in range(3)]
    for uid in folders:
        staging.source_path(uid).parent.mkdir(parents=True)
        staging.source_path(uid).touch()
    with holds.kept():
        staging.discard(folders[0])
        assert staging.source_path(folders[0]).exists()
    staging.discard(folders[0])
    assert not staging.folder(folders[0]).exists()
    # What a killed backup leaves of it holds nobody up.
    (installation / "data/run/keep-staging").touch()
    staging.discard(folders[1])
    assert [uid for uid, _ in staging.folders()] == [folders[2]]


def test_hosted_files_that_may_be_private_are_left_out(installation: Path) -> None:
    serve = installation / "serve"
    serve.mkdir()
    for name in ("by-hand-long-ago.jpg", "known.jpg", "unknown.jpg", ".tmp-0123456789abcdef"):
        (serve / name).touch()
    moment = (serve / "unknown.jpg").stat().st_ctime_ns
    with closing(sqlite3.connect(":memory:")) as copy:
        copy.execute("CREATE TABLE jobs_hostedfile (path TEXT)")
        copy.execute("INSERT INTO jobs_hostedfile VALUES ('known.jpg')")

        def look(query: str, *values: str) -> list[tuple[object, ...]]:
            return copy.execute(query.replace("%s", "?"), values).fetchall()

        assert backup._copy_hosted(look, moment, installation / "soon") == 1
        later = moment + 2 * 10**9
        assert backup._copy_hosted(look, later, installation / "later") == 3
    assert [each.name for each in (installation / "soon").iterdir()] == ["known.jpg"]
