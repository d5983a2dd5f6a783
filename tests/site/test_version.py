"""What is running."""

import re
from collections.abc import Iterator
from datetime import datetime

import pytest

from pixerve_site import version
from pixerve_site.config import PROJECT_ROOT


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    caches = (version.git_commit, version.build_time, version.imagemagick_version)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def test_the_build_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD_COMMIT", "abc123")
    monkeypatch.setenv("BUILD_TIME", "2025-01-02T03:04:05Z")
    assert (version.git_commit(), version.build_time()) == ("abc123", "2025-01-02T03:04:05Z")


def test_without_git_and_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("BUILD_COMMIT", raising=False)
    monkeypatch.delenv("BUILD_TIME", raising=False)
    assert version.git_commit() == "unknown"
    assert datetime.fromisoformat(version.build_time()).tzinfo is not None


def test_the_decoder_is_asked_in_a_process_of_its_own() -> None:
    assert re.match(r"ImageMagick \d+\.\d+", version.imagemagick_version())
    assert version.imagemagick_version() == version.imagemagick_version()


def test_the_version_is_the_packages() -> None:
    pyproject = (PROJECT_ROOT / "pyproject.toml").read_text()
    assert f'version = "{version.VERSION}"' in pyproject
