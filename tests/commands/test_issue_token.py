"""`manage.py issue_token`: a token that the server takes, or a line that names what is wrong."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs import tokens
from tests.server import EXAMPLE_JOB, Pixerve, free_port

WEEK_S = 7 * 86400


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(EXAMPLE_JOB))
    return path


def issue(*arguments: str) -> str:
    out = io.StringIO()
    call_command("issue_token", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.mark.parametrize("wrap", [lambda job: job, lambda job: {"iss": "me", "job": job}])
def test_a_spec_becomes_a_token(spec_file: Path, wrap: Any) -> None:
    spec_file.write_text(json.dumps(wrap(EXAMPLE_JOB)))
    claims = tokens.verify(issue("--sub", "alice", "--spec", str(spec_file)))
    assert claims.subject == "alice"
    assert claims.job == EXAMPLE_JOB
    assert 3590 <= claims.expires - time.time() <= 3601


def test_without_a_spec_the_token_only_looks() -> None:
    assert tokens.verify(issue("--sub", "alice")).job is None


def test_the_spec_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(EXAMPLE_JOB)))
    assert tokens.verify(issue("--sub", "alice", "--spec", "-")).job == EXAMPLE_JOB


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"formats": {"jpg": {"settings": {"quality": 101}}}}, "job.formats.jpg.settings.quality"),
        ({"formats": {"bmp": {}}}, "job.formats.bmp"),
        ({"formats": {"jpg": {"sizes": [[0]]}}}, "job.formats.jpg.sizes[0]"),
        ({"directHost": "yes"}, "job.directHost"),
        ({"subDir": "../up"}, "job.subDir"),
        ({"colour": "red"}, "job.colour"),
        ({"completionCallback": "http://10.0.0.1/"}, "job.completionCallback"),
    ],
)
def test_a_bad_spec_names_its_field(spec_file: Path, change: dict[str, Any], field: str) -> None:
    spec_file.write_text(json.dumps(EXAMPLE_JOB | change))
    with pytest.raises(CommandError) as caught:
        issue("--sub", "alice", "--spec", str(spec_file))
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.django_db
def test_an_unknown_storage_key_is_refused(spec_file: Path) -> None:
    spec_file.write_text(json.dumps({**EXAMPLE_JOB, "storageKeys": {"s3": "nobody's"}}))
    with pytest.raises(CommandError, match="nobody's"):
        issue("--sub", "alice", "--spec", str(spec_file))


@pytest.mark.parametrize("content", ["{", "\udcff"])
def test_a_file_that_is_no_json_is_one_line(spec_file: Path, content: str) -> None:
    spec_file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CommandError, match="--spec: "):
        issue("--sub", "alice", "--spec", str(spec_file))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--spec: .*No such file"):
        issue("--sub", "alice", "--spec", str(tmp_path / "nowhere.json"))


@pytest.mark.parametrize("seconds", ["0", "-1", str(WEEK_S + 1)])
def test_a_lifetime_beyond_the_limits_is_refused(seconds: str) -> None:
    with pytest.raises(CommandError, match=f"--lifetime must be from 1 to {WEEK_S} seconds"):
        issue("--sub", "alice", "--lifetime", seconds)


def test_the_longest_lifetime_is_given() -> None:
    claims = tokens.verify(issue("--sub", "alice", "--lifetime", str(WEEK_S)))
    assert claims.expires - time.time() > WEEK_S - 10


@pytest.mark.parametrize("subject", ["", "x" * 256, "a\nb"])
def test_a_bad_subject_is_refused(subject: str) -> None:
    with pytest.raises(CommandError, match="`sub` must be"):
        issue("--sub", subject)


def test_on_the_command_line_the_token_stands_alone(tmp_path: Path, spec_file: Path) -> None:
    server = Pixerve(tmp_path, free_port())
    good = server.manage("issue_token", "--sub", "alice", "--spec", str(spec_file))
    assert (good.returncode, good.stderr) == (0, "")
    assert len(good.stdout.strip().split(".")) == 3
    bad = server.manage("issue_token", "--sub", "alice", "--lifetime", "0")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert len(bad.stderr.strip().splitlines()) == 1
