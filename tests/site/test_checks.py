"""System checks: one test per id, and none for a sound installation."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from pytest_django import Settings

from tests.server import ROOT

Configure = Callable[..., None]


def ids() -> list[str]:
    return [str(found.id) for found in run_checks(tags=["pixerve"])]


def test_a_sound_installation() -> None:
    assert ids() == []


@pytest.mark.parametrize("key", ["SECRET_KEY", "STAFF_TOKEN_KEY"])
def test_e001_the_upload_secret_must_not_make_staff(settings: Settings, key: str) -> None:
    settings.KEYS = replace(settings.KEYS, jwt_secret=getattr(django_settings, key))
    assert ids() == ["pixerve.E001"]


@pytest.mark.parametrize("key", ["SECRET_KEY", "STAFF_TOKEN_KEY"])
def test_e001_also_for_a_secret_in_a_jwks(settings: Settings, key: str) -> None:
    secret = base64.urlsafe_b64encode(getattr(django_settings, key).encode()).decode().rstrip("=")
    keys = json.dumps({"keys": [{"kty": "oct", "k": secret, "kid": "a"}]})
    settings.KEYS = replace(settings.KEYS, jwt_keys=keys)
    assert ids() == ["pixerve.E001"]


def test_e002_keys_that_cannot_be_used(settings: Settings) -> None:
    settings.KEYS = replace(settings.KEYS, jwt_keys="/nowhere/keys.json")
    assert ids() == ["pixerve.E002"]


@pytest.mark.parametrize("name", ["data_dir", "serve_dir"])
def test_e003_a_folder_that_cannot_be(configure: Configure, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    configure(**{name: tmp_path / "file" / "below"})
    (found,) = run_checks(tags=["pixerve"])
    assert found.id == "pixerve.E003"
    assert f"PIXERVE_{name.upper()}" in found.msg


def test_w001_a_name_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXERVE_MAX_UPLOAD_BYTE", "1")
    (found,) = run_checks(tags=["pixerve"])
    assert found.id == "pixerve.W001"
    assert "PIXERVE_MAX_UPLOAD_BYTES" in (found.hint or "")


def manage(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIXERVE_")}
    clean.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=clean
        | {
            "PIXERVE_ENV_FILE": "/dev/null",
            "PIXERVE_DATA_DIR": str(tmp_path / "data"),
            "PIXERVE_SERVE_DIR": str(tmp_path / "serve"),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_check_deploy_is_clean_behind_https(tmp_path: Path) -> None:
    done = manage(
        tmp_path,
        "check",
        "--deploy",
        "--fail-level",
        "WARNING",
        PIXERVE_PUBLIC_URL="https://img.example.com",
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_no_migration_is_missing(tmp_path: Path) -> None:
    done = manage(tmp_path, "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    done = manage(tmp_path, "check", PIXERVE_PORT="http")
    assert done.returncode != 0
    assert "PIXERVE_PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"PIXERVE_JWT_SECRET": "short"}, "PIXERVE_JWT_SECRET"),
        ({"PIXERVE_MAX_SIDE": "x"}, "MAX_SIDE"),
    ],
)
def test_so_is_a_bad_secret(tmp_path: Path, arguments: dict[str, str], name: str) -> None:
    done = manage(tmp_path, "check", **arguments)
    assert done.returncode != 0
    assert name in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_web_entry_point_runs_the_checks(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import pixerve_site.wsgi"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "PIXERVE_ENV_FILE": "/dev/null",
            "PIXERVE_DATA_DIR": str(tmp_path / "data"),
            "PIXERVE_SERVE_DIR": str(tmp_path / "serve"),
            "PIXERVE_JWT_KEYS": "/nowhere/keys.json",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "pixerve.E002" in done.stderr
