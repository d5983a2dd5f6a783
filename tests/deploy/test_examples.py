"""What lies in deploy/ and cannot be run here, read against the code that it is about.

`python -m tests.deploy.walk` runs the Containerfile, `tests.deploy.test_nginx` nginx.
"""

import re
import shutil
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from pixerve_site.config import PREFIX, Config, unknown_names
from pixerve_site.management.commands.serve import PARTS as NAMES
from pixerve_site.version import VERSION
from tests.deploy.containerfile import CONTAINERFILE, ROOT, parse, variables
from tests.deploy.walk import context

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
PARTS = set(NAMES)
ARGUMENTS, STAGES = parse(CONTAINERFILE.read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())
HOST: dict[str, Any] = yaml.safe_load((DEPLOY / "container" / "compose.host.yaml").read_text())


def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run our image."""
    return {name: each for name, each in compose["services"].items() if "pixerve:" in each["image"]}


OURS = ours(COMPOSE)


def check_settings(names: dict[str, Any]) -> None:
    """Each is a real one, and has a value that is taken."""
    values = {name: str(value) for name, value in names.items() if name.startswith(PREFIX)}
    assert values
    # Django's settings and Config are made of the environment alone, so files need not be there.
    assert unknown_names({**values, f"{PREFIX}ENV_FILE": "/dev/null"}) == {}
    plain = {n.removeprefix(PREFIX).lower(): v for n, v in values.items() if "_FILE" not in n}
    Config(**{name: value for name, value in plain.items() if "$" not in value})


def check_command(words: list[str]) -> None:
    """The words behind `manage.py`."""
    assert words[0] == "serve"
    assert set(words[1:]) <= PARTS


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


# --- Containerfile


def test_the_image_runs_as_a_user_that_can_change_nothing_in_it() -> None:
    last = STAGES[-1]
    uid, _, gid = last.last("USER").text.partition(":")
    assert int(uid) > 1000
    assert int(gid) > 1000
    after = last.steps[last.steps.index(last.last("USER")) :]
    assert {step.word for step in after} <= {
        *("USER", "WORKDIR", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    assert last.last("STOPSIGNAL").text == "SIGTERM"


def test_only_the_stage_that_is_left_behind_has_tools() -> None:
    names = [stage.name for stage in STAGES]
    assert names == ["base", "build", ""]
    build, last = STAGES[1], STAGES[-1]
    assert any("--require-hashes -r requirements.lock" in step.text for step in build.steps)
    assert all("pip" not in step.text.split() for step in last.steps)
    assert last.base == "base"


def test_the_image_starts_what_there_is() -> None:
    last = STAGES[-1]
    program, script = last.last("ENTRYPOINT").words()
    home = last.last("WORKDIR").text
    assert program == f"{home}/.venv/bin/python"
    assert (ROOT / Path(script).relative_to(home)) == ROOT / "manage.py"
    check_command(last.last("CMD").words())
    *_, health = re.findall(r'"([^"]+)"', last.last("HEALTHCHECK").text)
    assert (ROOT / Path(health).relative_to(home)).is_file()


def test_the_settings_of_the_image_are_real() -> None:
    found: dict[str, str] = {}
    for step in STAGES[-1].steps:
        found |= variables(step.text) if step.word == "ENV" else {}
    check_settings(found)
    volume = STAGES[-1].last("VOLUME").text
    folders = {Path(found[f"PIXERVE_{name}_DIR"]).parent for name in ("DATA", "SERVE")}
    assert folders == {Path(volume)}


def test_the_build_sees_the_code_and_no_secret() -> None:
    found = {str(path) for path in context()}
    assert {"manage.py", "requirements.lock", "deploy/container/healthcheck.py"} <= found
    assert {"encoders/magick/policy.xml", "encoders/fonts/DejaVuSans.ttf"} <= found
    for word in ("data/", "serve/", ".env", ".git/", "tests", "secrets/"):
        assert not [name for name in found if name.startswith(word) or f"/{word}" in name], word


# --- compose.yaml and compose.host.yaml


@pytest.mark.parametrize("compose", [COMPOSE, HOST], ids=lambda each: each["name"])
def test_the_services_of_ours_are_closed_and_run_what_there_is(compose: dict[str, Any]) -> None:
    seen = set()
    for service in ours(compose).values():
        assert service["image"] == f"pixerve:{VERSION}"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert seconds(service["stop_grace_period"]) > Config().stop_grace
        if "env_file" not in service:
            check_settings(service["environment"])
        check_command(service["command"])
        seen |= set(service["command"][1:])
    assert seen == PARTS


def test_one_host_of_several_is_set_up_like_the_others() -> None:
    """The parts of a host share its folder, and all hosts the lines of the documents."""
    services = ours(HOST)
    assert HOST["services"] == services
    assert {tuple(each["volumes"]) for each in services.values()} == {("cache:/var/lib/pixerve",)}
    assert {tuple(each["env_file"]) for each in services.values()} == {("./secrets/host.env",)}
    assert set(HOST["volumes"]) == {"cache"}
    assert services["web"]["ports"] == [f"{Config().port}:{Config().port}"]


def test_the_database_is_not_newer_than_the_images_pg_dump() -> None:
    """Which refuses to read a newer server."""
    base = STAGES[0]
    assert any("postgresql-client" in step.text.split() for step in base.steps)
    newest = {"bookworm": 15, "trixie": 17}[ARGUMENTS["DEBIAN"]]
    name, _, version = COMPOSE["services"]["db"]["image"].partition(":")
    assert name == "postgres"
    assert int(version.partition("-")[0]) <= newest


def test_a_cluster_has_its_clerk_beside_it() -> None:
    """The clerk sees only what runs in its own container."""
    for compose in (COMPOSE, HOST):
        commands = [service["command"] for service in ours(compose).values()]
        assert ["serve", "cluster", "clerk"] in commands


def test_whatever_compose_names_is_there(tmp_path: Path) -> None:
    folder = shutil.copytree(DEPLOY / "container", tmp_path / "deploy" / "container")
    shutil.copytree(DEPLOY / "nginx", tmp_path / "deploy" / "nginx")
    for _ in range(2):  # what is there already is left alone
        made = subprocess.run([folder / "make-secrets.sh"], check=True, capture_output=True)
    assert made.stdout == b""
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    password = (folder / "secrets" / "db_password").read_text()
    assert f":{password}@db:5432/pixerve" in (folder / "secrets" / "database_url").read_text()
    files = [each["file"] for each in COMPOSE["secrets"].values()]
    volumes = [each for service in COMPOSE["services"].values() for each in service["volumes"]]
    files += [each.split(":")[0] for each in volumes if each[0] == "."]
    assert len(files) == 4
    for name in files:
        assert (folder / name).is_file(), name
    for service in COMPOSE["services"].values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        named = {each.split(":")[0] for each in service["volumes"] if each[0] != "."}
        assert named <= set(COMPOSE["volumes"])


def test_nginx_finds_web_where_compose_puts_it_and_is_trusted() -> None:
    web, nginx = (
        COMPOSE["services"][name]["networks"]["inner"]["ipv4_address"] for name in ("web", "nginx")
    )
    assert f"server {web}:{Config().port};" in (DEPLOY / "container/nginx.conf").read_text()
    assert OURS["web"]["environment"]["PIXERVE_TRUSTED_PROXIES"] == nginx
    [network] = COMPOSE["networks"]["inner"]["ipam"]["config"]
    for address in map(ip_address, (web, nginx)):
        assert address in ip_network(network["subnet"])
        assert address not in ip_network(network["ip_range"]), "it may be given to another"


# --- systemd


def directives(path: Path) -> dict[str, list[str]]:
    """Name -> its values, in their order, over all sections."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_run_what_there_is(path: Path) -> None:
    unit = directives(path)
    program, script, *words = unit["ExecStart"][0].split()
    assert program == f"{unit['WorkingDirectory'][0]}/.venv/bin/python"
    assert (ROOT / script).is_file()
    check_command(words)
    part = path.stem.partition("-")[2]
    assert words[1:] == ([part] if part else [])
    assert unit["Environment"] == ["PIXERVE_ENV_FILE=/etc/pixerve.env"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_leave_time_to_stop_and_children_their_sandbox(path: Path) -> None:
    unit = directives(path)
    assert unit["KillMode"] == ["mixed"]
    assert int(unit["TimeoutStopSec"][0]) > Config().stop_grace
    calls = " ".join(unit["SystemCallFilter"])
    for call in ("seccomp", "landlock_create_ruleset", "landlock_add_rule"):
        assert call in calls
    # A database that is away for a minute must not end the restarts for good.
    assert unit["StartLimitIntervalSec"] == ["0"]
    # Leases name the boot, which /proc without all of it does not tell.
    assert "ProcSubset" not in unit


def test_their_settings_are_real_and_below_what_they_may_write() -> None:
    found = dotenv_values(DEPLOY / "systemd" / "pixerve.env")
    check_settings(found)
    assert directives(UNITS[0])["StateDirectory"] == ["pixerve"]
    assert all(str(folder).startswith("/var/lib/pixerve/") for folder in found.values())


def test_units_differ_in_nothing_else() -> None:
    own = {"Description", "After", "Wants", "Conflicts", "ExecStart"}
    found = [{k: v for k, v in directives(path).items() if k not in own} for path in UNITS]
    assert len(found) == 4
    assert all(each == found[0] for each in found)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_takes_the_unit_and_calls_it_safe(path: Path, tmp_path: Path) -> None:
    unit = tmp_path / path.name
    # It looks for the program, too.
    unit.write_text(path.read_text().replace("/opt/pixerve/.venv/bin/python", "/bin/sh"))
    verify = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    verified = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    rate = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    rated = subprocess.run(rate, check=False, capture_output=True, text=True)
    assert rated.returncode == 0, rated.stdout
