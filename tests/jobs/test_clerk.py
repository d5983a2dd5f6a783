"""The clerk: one loop for what is due, and a watchdog for what hangs."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from django.db import OperationalError, connection

from jobs import bells, cluster, leases, staging
from jobs.bells import Bell
from jobs.clerk import Clerk, Watchdog, kill_cluster
from jobs.models import Job
from tests.acceptance.endpoint import endpoint
from tests.jobs.making import claim, make_job, picture, put_in_state
from tests.jobs.test_callbacks import owed
from tests.server import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def own_bells(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue", "clerk"):
        monkeypatch.setattr(bells, name, Bell(name))


@pytest.fixture
def main_process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that passes for the cluster's main one."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    cluster.pid_file().parent.mkdir(parents=True)
    cluster.pid_file().write_text(leases.owner_of(process.pid))
    yield process
    process.kill()
    process.communicate()


# The watchdog


def test_a_job_that_nobody_claims_kills_the_cluster(main_process: subprocess.Popen[bytes]) -> None:
    make_job()
    dog = Watchdog(hang_s=0.2)
    assert dog.look() is False
    assert wait_for(dog.look, within_s=20)
    assert main_process.wait(10) == -signal.SIGKILL


def test_an_empty_queue_is_no_hang(main_process: subprocess.Popen[bytes]) -> None:
    dog = Watchdog(hang_s=0.0)
    assert [dog.look() for _ in range(3)] == [False] * 3
    assert main_process.poll() is None


def test_progress_is_no_hang(main_process: subprocess.Popen[bytes]) -> None:
    for number in range(5):
        make_job("ann", picture(number))
    dog = Watchdog(hang_s=0.0)
    dog.look()
    for _ in range(4):
        Job.objects.filter(pk=claim().pk).update(state="completed", owner="")
        assert dog.look() is False


def test_busy_workers_are_no_hang(
    main_process: subprocess.Popen[bytes], configure: Configure
) -> None:
    configure(max_workers=1)
    make_job("ann", picture(1))
    make_job("ann", picture(2))
    claim(leases.myself())
    dog = Watchdog(hang_s=0.0)
    assert [dog.look() for _ in range(3)] == [False] * 3


def test_busy_workers_of_another_host_do_not_count(
    main_process: subprocess.Popen[bytes], configure: Configure
) -> None:
    configure(max_workers=1)
    make_job("ann", picture(1))
    make_job("ann", picture(2))
    claim("otherhost@0123abcd/1/1")
    dog = Watchdog(hang_s=0.0)
    assert [dog.look() for _ in range(2)] == [False, True]


def test_a_second_look_after_the_kill_waits_again(main_process: subprocess.Popen[bytes]) -> None:
    make_job()
    dog = Watchdog(hang_s=0.0)
    dog.look()
    assert dog.look() is True
    main_process.wait(10)
    assert dog.look() is False  # a dead cluster is the supervisor's business


def test_a_new_cluster_gets_its_own_time(main_process: subprocess.Popen[bytes]) -> None:
    make_job()
    dog = Watchdog(hang_s=0.0)
    cluster.pid_file().write_text("here@boot/1/1")  # the one before, just dead
    dog.look()
    cluster.pid_file().write_text(leases.owner_of(main_process.pid))
    assert [dog.look() for _ in range(2)] == [False, True]


def test_a_process_that_is_stopped_for_long_kills_the_cluster(
    main_process: subprocess.Popen[bytes],
) -> None:
    dog = Watchdog(stopped_s=0.3)
    main_process.send_signal(signal.SIGSTOP)
    wait_for(cluster.still_processes, what="the stop")
    assert dog.look() is False
    main_process.send_signal(signal.SIGCONT)
    wait_for(lambda: not cluster.still_processes(), what="the going on")
    assert dog.look() is False
    assert dog._stopped == {}
    main_process.send_signal(signal.SIGSTOP)
    assert wait_for(dog.look, within_s=20)
    assert main_process.wait(10) == -signal.SIGKILL
    assert cluster.still_processes() == []


def test_a_stopped_process_that_holds_the_database_is_killed_all_the_same(
    main_process: subprocess.Popen[bytes],
) -> None:
    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    ours = Clerk()
    ours._watchdog = Watchdog(stopped_s=0.3)
    main_process.send_signal(signal.SIGSTOP)
    wait_for(cluster.still_processes, what="the stop")
    with connection.execute_wrapper(locked):

        def killed() -> bool:
            with suppress(OperationalError):
                ours.tick()
            ours._watchdog.forget_queue()
            return main_process.poll() is not None

        wait_for(killed, within_s=20)


def test_one_that_is_dead_and_not_buried_stands_still() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        assert not leases.stands_still(other.pid)
        other.kill()
        wait_for(lambda: leases.stands_still(other.pid), what="the end")
    assert not leases.stands_still(other.pid)


def test_what_the_killed_cluster_held_is_excused(main_process: subprocess.Popen[bytes]) -> None:
    make_job()
    claim(leases.myself())
    assert kill_cluster("a test") is True
    assert Job.objects.get().excused


@pytest.mark.parametrize("owner", ["otherhost@0123abcd/1/1", "nonsense", ""])
def test_no_cluster_of_ours_is_killed(owner: str) -> None:
    assert kill_cluster("a test") is False
    cluster.pid_file().parent.mkdir(parents=True, exist_ok=True)
    cluster.pid_file().write_text(owner)
    assert kill_cluster("a test") is False


def test_a_pid_that_is_somebody_elses_by_now() -> None:
    host, pid, start = leases.myself().split("/")
    cluster.pid_file().parent.mkdir(parents=True)
    cluster.pid_file().write_text(f"{host}/{pid}/{int(start) - 1}")
    assert kill_cluster("a test") is False


# The loop


def test_one_tick_does_all_that_is_due(configure: Configure) -> None:
    with endpoint() as receiver:
        owed(receiver.url, 1)
        make_job("bob", picture(2))
        claim(f"{leases.myself().rpartition('/')[0]}/1")  # a process that is dead
        clerk = Clerk()
        clerk.tick()
        clerk._sender.close()
    assert len(receiver.calls) == 1
    assert Job.objects.get(subject="bob").state == "pending"


def test_stop_ends_the_loop_at_once() -> None:
    clerk = Clerk()
    stopper = threading.Timer(0.1, clerk.stop)
    stopper.start()
    clerk.run()
    stopper.join()


def test_a_database_that_is_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    clerk = Clerk()
    looks = []

    def away_twice(execute: Callable[..., object], *args: object) -> object:
        looks.append(True)
        if len(looks) <= 2:
            bells.clerk.ring()
            raise OperationalError("away")
        clerk.stop()
        return execute(*args)

    with connection.execute_wrapper(away_twice):
        clerk.run()
    assert caplog.text.count("the database is away") == 2
    assert len(looks) > 2


def test_a_folder_left_by_a_worker_killed_after_the_commit_is_swept() -> None:
    job = make_job()
    put_in_state(job, "completed", has_source=False)
    assert staging.folder(job.uid).exists()
    Clerk().tick()
    assert not staging.folder(job.uid).exists()
