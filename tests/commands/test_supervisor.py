"""The supervisor, run for real: a driver process whose parts are small Python scripts."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from pixerve_site.parts import Life
from pixerve_site.ports import port_problem
from pixerve_site.supervisor import Part, Supervisor

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")

# The driver counts for the coverage of the tests, its parts do not.
DRIVER = """
import json, os, sys
from pathlib import Path
from pixerve_site.supervisor import Part, Supervisor

os.environ.pop("COVERAGE_PROCESS_CONFIG", None)

folder, grace_s, parts = Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3])

def on_poll():
    for order in folder.glob("restart-*"):
        order.unlink()
        if order.name == "restart-fail":
            raise RuntimeError("the database is locked")
        supervisor.restart(order.name.removeprefix("restart-"))
    (folder / "pids.json").write_text(json.dumps(supervisor.pids()))

supervisor = Supervisor(
    [
        Part(name, tuple(argv), {"PART_NAME": name}, relieves=name == "web")
        for name, argv in parts.items()
    ],
    grace_s=grace_s, on_poll=on_poll, poll_s=0.05,
)
sys.exit(supervisor.run())
"""

# Every script reports what it starts as a file named after the part, a word and the pid.
PRELUDE = """
import os, signal, subprocess, sys, time
from pathlib import Path

folder = Path(sys.argv[1])

def report(word, pid=None):
    (folder / f"{os.environ['PART_NAME']}.{word}.{pid or os.getpid()}").touch()

def sleeper(word, **options):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **options)
    report(word, child.pid)
"""
# Says "clash" when it finds a child of its predecessor alive.
SUCCESSOR = """
for file in folder.glob("*.child.*"):
    if Path("/proc", file.suffix[1:]).exists():
        report('clash')
sleeper('child'); report('up'); time.sleep(600)
"""
STEADY = "report('up'); time.sleep(600)"
POLITE = """
def leave(*_):
    report('left'); sys.exit(0)
signal.signal(signal.SIGTERM, leave); report('up'); time.sleep(600)
"""
# Takes its predecessor's place only when it is told to.
RELIEF = """
def leave(*_):
    report('left'); sys.exit(0)
signal.signal(signal.SIGTERM, leave); report('up')
while 'REPLACES_PID' in os.environ and not (folder / 'ready').exists():
    time.sleep(0.01)
if 'REPLACES_PID' in os.environ:
    os.kill(int(os.environ['REPLACES_PID']), signal.SIGTERM)
time.sleep(600)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); report('up'); time.sleep(600)"
ONE_LINE_LIFE = "report('up'); sys.exit(0)"
FAMILY = """
sleeper('child'); sleeper('group', process_group=0); sleeper('session', start_new_session=True)
report('up'); time.sleep(600)
"""
# The middle process ends at once, so that its own child loses its parent.
ORPHANS = """
middle = "import subprocess, sys; out = subprocess.DEVNULL; "
middle += "print(subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=out).pid)"
last = "import time; time.sleep(600)"
out = subprocess.run([sys.executable, '-c', middle, last], stdout=subprocess.PIPE, text=True)
report('orphan', int(out.stdout)); report('up'); time.sleep(600)
"""


pytestmark = pytest.mark.usefixtures("measured")


def wait_for(what: Callable[[], T], timeout_s: float = 15.0) -> T:
    """The first true answer of `what`; fails the test when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain"
        time.sleep(0.01)
    return answer


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stage:
    """One supervisor under test and the files its parts leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def start(self, *, grace_s: float = 10.0, **scripts: str) -> None:
        parts = {name: self._argv(script) for name, script in scripts.items()}
        argv = [sys.executable, "-c", DRIVER, self.folder, str(grace_s), json.dumps(parts)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)

    def _argv(self, script: str) -> list[str]:
        if script.startswith("/"):
            return [script]
        return [sys.executable, "-c", PRELUDE + script, str(self.folder)]

    def pids(self, name: str, word: str = "up") -> list[int]:
        files = sorted(self.folder.glob(f"{name}.{word}.*"), key=lambda file: file.stat().st_mtime)
        return [int(file.suffix[1:]) for file in files]

    def pid(self, name: str, word: str = "up", *, count: int = 1) -> int:
        """The newest pid reported under this word, once there are `count` of them."""
        return wait_for(lambda: self.pids(name, word)[count - 1 :])[-1]

    def everybody(self) -> list[int]:
        return [int(file.suffix[1:]) for file in self.folder.glob("*.*.*")]

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    if stage.process.poll() is None:
        stage.stop()
    for pid in filter(alive, stage.everybody()):  # only when the supervisor is broken
        os.kill(pid, signal.SIGKILL)


def test_a_killed_part_is_started_anew_and_noticed_at_once(stage: Stage) -> None:
    stage.start(web=STEADY, clerk=STEADY)
    first, other = stage.pid("web"), stage.pid("clerk")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: f"web (pid {first}) ended: killed by SIGKILL" in stage.log.read_text(), 1)
    second = stage.pid("web", count=2)
    assert alive(second)
    assert stage.pids("clerk") == [other]


def test_an_exit_with_code_0_is_a_death_too(stage: Stage) -> None:
    stage.start(web=ONE_LINE_LIFE)
    assert stage.pid("web", count=2)
    assert "ended: exit code 0; starting again in 0.2 s" in stage.log.read_text()


def test_the_whole_family_of_a_dead_part_is_killed_before_it_starts_anew(stage: Stage) -> None:
    stage.start(cluster=FAMILY)
    leader = stage.pid("cluster")
    family = [stage.pid("cluster", word) for word in ("child", "group", "session")]
    assert all(map(alive, family))
    os.kill(leader, signal.SIGKILL)
    stage.pid("cluster", count=2)
    assert not any(map(alive, family))


def test_orphans_of_a_living_part_are_left_alone_and_reaped_when_they_end(stage: Stage) -> None:
    stage.start(cluster=ORPHANS, web=STEADY)
    orphan, leader = stage.pid("cluster", "orphan"), stage.pid("cluster")
    assert psutil.Process(orphan).ppid() == stage.process.pid
    os.kill(stage.pid("web"), signal.SIGKILL)
    stage.pid("web", count=2)
    assert alive(orphan)
    os.kill(orphan, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(orphan))
    assert stage.pids("cluster") == [leader]


def test_a_crash_loop_backs_off_and_the_others_live(stage: Stage) -> None:
    stage.start(web=STEADY, cluster="report('up'); sys.exit(3)", clerk="/nonexistent/program")
    wait_for(lambda: "starting again in 1.6 s" in stage.log.read_text())
    log = stage.log.read_text()
    delays = [line.rsplit(None, 2)[-2] for line in log.splitlines() if "exit code 3" in line]
    assert delays == ["0.2", "0.4", "0.8", "1.6"]
    assert "clerk did not start: [Errno 2] No such file or directory" in log
    assert len(stage.pids("web")) == 1


@pytest.mark.parametrize(
    ("age_s", "delays"),
    [(1.0, [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]), (6.0, [0.2] * 6)],
    ids=["dies young", "is killed now and then"],
)
def test_only_who_dies_young_is_waited_for_longer(age_s: float, delays: list[float]) -> None:
    life = Life(Part("web", ("true",)))
    assert [life.next_delay(now=age_s) for _ in delays] == delays


def test_a_stop_asks_the_leaders_only_and_leaves_nobody(stage: Stage) -> None:
    stage.start(web=POLITE, cluster=FAMILY)
    web = stage.pid("web")
    stage.pid("cluster")
    assert stage.stop() == 0
    assert stage.pids("web", "left") == [web]
    assert not any(map(alive, stage.everybody()))


def test_sigint_stops_as_sigterm_does(stage: Stage) -> None:
    stage.start(web=POLITE)
    web = stage.pid("web")
    assert stage.stop(signal.SIGINT) == 0
    assert stage.pids("web", "left") == [web]


def test_the_wait_for_a_deaf_part_is_bounded(stage: Stage) -> None:
    stage.start(
        grace_s=0.5, web="sleeper('session', start_new_session=True)\n" + DEAF, cluster=FAMILY
    )
    stage.pid("web")
    stage.pid("cluster")
    before = time.monotonic()
    assert stage.stop() == 0
    assert 0.5 <= time.monotonic() - before < 2.5
    assert "killing what did not stop: web" in stage.log.read_text()
    assert not any(map(alive, stage.everybody()))


def test_a_second_signal_kills_at_once(stage: Stage) -> None:
    stage.start(grace_s=60, web=DEAF)
    stage.pid("web")
    stage.process.send_signal(signal.SIGTERM)

    def insist() -> bool:
        stage.process.send_signal(signal.SIGTERM)
        return stage.process.poll() is not None

    wait_for(insist, 5)
    assert not any(map(alive, stage.everybody()))


def test_one_stop_delivered_twice_is_still_polite(stage: Stage) -> None:
    stage.start(web=POLITE.replace("report('left')", "time.sleep(0.5); report('left')"))
    web = stage.pid("web")
    stage.process.send_signal(signal.SIGTERM)
    assert stage.stop(signal.SIGINT) == 0  # the same signal twice might arrive as one
    assert stage.pids("web", "left") == [web]


def test_a_part_that_waits_for_its_next_start_does_not_delay_the_stop(stage: Stage) -> None:
    stage.start(grace_s=60, web="/nonexistent/program")
    wait_for(lambda: "trying again in 0.8 s" in stage.log.read_text())
    assert stage.stop(timeout_s=5) == 0


def test_kill_9_of_the_supervisor_takes_everybody_down(stage: Stage) -> None:
    stage.start(web=DEAF, cluster="sleeper('child')\n" + DEAF)
    stage.pid("web")
    stage.pid("cluster")
    helpers = {child.pid for child in psutil.Process(stage.process.pid).children()}
    stage.process.kill()
    stage.process.wait()
    wait_for(lambda: not any(map(alive, {*helpers, *stage.everybody()})))


def test_the_parts_die_with_the_supervisor_even_before_the_heir_acts(stage: Stage) -> None:
    stage.start(cluster="sleeper('child')\n" + DEAF)
    leader, child = stage.pid("cluster"), stage.pid("cluster", "child")
    supervisor = psutil.Process(stage.process.pid)
    [heir] = [process for process in supervisor.children() if process.pid != leader]
    heir.suspend()
    try:
        supervisor.kill()
        stage.process.wait()
        wait_for(lambda: not alive(leader))
        assert alive(child)
    finally:
        heir.resume()
    wait_for(lambda: not alive(child))


def test_a_stop_in_the_middle_of_a_crash_loop_is_quick(stage: Stage) -> None:
    stage.start(grace_s=60, web=ONE_LINE_LIFE)
    stage.pid("web")
    assert stage.stop(timeout_s=5) == 0


def test_a_killed_heir_is_replaced(stage: Stage) -> None:
    stage.start(cluster="sleeper('child')\n" + DEAF)
    leader = stage.pid("cluster")
    supervisor = psutil.Process(stage.process.pid)
    [heir] = [child for child in supervisor.children() if child.pid != leader]
    heir.kill()
    wait_for(lambda: [c for c in supervisor.children() if c.pid not in (leader, heir.pid)])
    stage.process.kill()
    stage.process.wait()
    wait_for(lambda: not any(map(alive, stage.everybody())))


def test_restart_is_immediate_and_a_failing_poll_is_only_logged(stage: Stage) -> None:
    stage.start(web=STEADY)
    stage.pid("web")
    (stage.folder / "restart-fail").touch()
    wait_for(lambda: "poll failed: RuntimeError: the database is locked" in stage.log.read_text())
    (stage.folder / "restart-web").touch()
    second = stage.pid("web", count=2)
    assert "killed by SIGKILL; starting again in 0 s" in stage.log.read_text()
    wait_for(lambda: json.loads((stage.folder / "pids.json").read_text() or "0") == {"web": second})


def test_a_renewal_asks_first_and_starts_anew_at_once(stage: Stage) -> None:
    stage.start(cluster=POLITE, clerk=POLITE)
    first = [stage.pid("cluster"), stage.pid("clerk")]
    stage.process.send_signal(signal.SIGUSR2)
    second = [stage.pid("cluster", count=2), stage.pid("clerk", count=2)]
    assert [stage.pids("cluster", "left"), stage.pids("clerk", "left")] == [[first[0]], [first[1]]]
    assert set(first).isdisjoint(second)
    assert "exit code 0; starting again in 0 s" in stage.log.read_text()
    assert stage.stop() == 0
    assert not any(map(alive, stage.everybody()))


def test_a_renewed_part_that_does_not_listen_is_killed_after_the_grace(stage: Stage) -> None:
    stage.start(grace_s=0.3, cluster=DEAF)
    first = stage.pid("cluster")
    stage.process.send_signal(signal.SIGUSR2)
    stage.pid("cluster", count=2)
    assert not alive(first)
    assert "killing cluster, which did not stop" in stage.log.read_text()


def test_one_that_relieves_works_beside_its_predecessor_until_it_is_ready(stage: Stage) -> None:
    stage.start(web=RELIEF)
    first = stage.pid("web")
    stage.process.send_signal(signal.SIGUSR2)
    second = stage.pid("web", count=2)
    assert alive(first)
    stage.process.send_signal(signal.SIGUSR2)  # one renewal at a time
    os.kill(second, signal.SIGKILL)
    third = stage.pid("web", count=3)
    assert alive(first)
    (stage.folder / "ready").touch()
    wait_for(lambda: stage.pids("web", "left") == [first])
    wait_for(lambda: "ended: exit code 0; it was replaced" in stage.log.read_text())
    wait_for(lambda: json.loads((stage.folder / "pids.json").read_text() or "0") == {"web": third})
    assert stage.stop() == 0
    assert not any(map(alive, stage.everybody()))


def test_a_stop_in_the_middle_of_a_renewal_leaves_nobody(stage: Stage) -> None:
    stage.start(web=RELIEF, cluster=POLITE)
    stage.pid("web")
    stage.process.send_signal(signal.SIGUSR2)
    stage.pid("web", count=2)
    assert stage.stop() == 0
    assert len(stage.pids("web", "left")) == 2
    assert not any(map(alive, stage.everybody()))


def test_nobody_of_the_old_family_is_left_when_a_part_is_restarted(stage: Stage) -> None:
    stage.start(cluster=SUCCESSOR)
    stage.pid("cluster")
    (stage.folder / "restart-cluster").touch()
    stage.pid("cluster", count=2)
    assert stage.pids("cluster", "clash") == []


def test_an_idle_supervisor_uses_no_cpu(stage: Stage) -> None:
    stage.start(web=STEADY)
    stage.pid("web")
    (stage.folder / "restart-fail").touch()
    wait_for(lambda: not (stage.folder / "restart-fail").exists())
    process = psutil.Process(stage.process.pid)
    before, since = sum(process.cpu_times()[:2]), time.monotonic()
    wait_for(lambda: time.monotonic() - since > 1)
    assert sum(process.cpu_times()[:2]) - before < 0.1


def test_a_name_is_used_once() -> None:
    with pytest.raises(ValueError, match="same name"):
        Supervisor([Part("web", ("true",)), Part("web", ("false",))])


def test_port_problem_names_the_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        problem = port_problem("127.0.0.1", port)
    assert problem is not None
    assert problem.startswith(f"port {port} on 127.0.0.1 is in use by ")
    assert f"(pid {os.getpid()})" in problem
    assert port_problem("127.0.0.1", port) is None


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no-such-host.invalid", "host no-such-host.invalid is not an address of this machine"),
        ("192.0.2.1", "cannot listen on port 8080 of 192.0.2.1: Cannot assign requested address"),
    ],
)
def test_port_problem_names_a_wrong_host(host: str, reason: str) -> None:
    assert (port_problem(host, 8080) or "").startswith(reason)
