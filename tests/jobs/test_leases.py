"""Leases: who lives, who is gone, and what a former holder may still do: nothing."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from jobs import clerk, leases, outcomes, transitions
from jobs.leases import LeaseLost, Reaper
from jobs.models import Failure, Job, Rendition, Success
from jobs.outcomes import Product
from tests.jobs.making import claim, make_job, picture
from tests.server import wait_for

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]
ELSEWHERE = "otherhost@0123abcd/77/88"
DEAD = f"{leases.myself().rpartition('/')[0]}/1"  # this pid, of another process


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another living process of this host."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


# Owners


def test_i_am_alive() -> None:
    assert not leases.is_dead(leases.myself())
    assert leases.is_here(leases.myself())
    assert leases.myself() == leases.owner_of(os.getpid())


def test_a_killed_process_is_dead(other: subprocess.Popen[bytes]) -> None:
    owner = leases.owner_of(other.pid)
    assert not leases.is_dead(owner)
    kill(other)
    assert leases.is_dead(owner)


def test_one_that_waits_to_be_buried_is_dead(other: subprocess.Popen[bytes]) -> None:
    owner = leases.owner_of(other.pid)
    os.kill(other.pid, signal.SIGKILL)
    wait_for(lambda: leases.is_dead(owner), what="the end of the process")
    assert other.returncode is None  # nobody has reaped it yet


def test_a_stopped_process_lives(other: subprocess.Popen[bytes]) -> None:
    os.kill(other.pid, signal.SIGSTOP)
    assert not leases.is_dead(leases.owner_of(other.pid))


def test_another_process_with_the_same_pid_is_another_owner() -> None:
    host, pid, start = leases.myself().split("/")
    assert leases.is_dead(f"{host}/{pid}/{int(start) - 1}")


def test_of_another_machine_with_our_name_nothing_is_known() -> None:
    """It may be this one before it booted, too: then its silence tells."""
    host, pid, start = leases.myself().split("/")
    name, _, life = host.partition("@")
    other = f"{name}@00000000.{life.partition('.')[2]}/{pid}/{start}"
    assert not leases.is_dead(other)
    assert not leases.is_here(other)


def test_of_another_container_with_our_name_nothing_is_known() -> None:
    host, pid, start = leases.myself().split("/")
    other = f"{host.rpartition('.')[0]}.1/{pid}/{int(start) - 1}"
    assert not leases.is_dead(other)
    assert not leases.is_here(other)


def test_of_another_host_nothing_is_known() -> None:
    assert not leases.is_dead(ELSEWHERE)
    assert not leases.is_here(ELSEWHERE)


# Beats


def test_renewing_writes_beat_and_changes() -> None:
    make_job()
    job = claim()
    leases.renew(job, done=1)
    leases.renew(job, stage="delivering")
    stored = Job.objects.get()
    assert (stored.beat, stored.done, stored.stage) == (2, 1, "delivering")


def test_after_a_reap_the_old_holder_can_do_nothing() -> None:
    make_job()
    old = claim("old")
    leases.give_back(old)
    new = claim("new")
    with pytest.raises(LeaseLost):
        leases.renew(old, done=7)
    with pytest.raises(LeaseLost):
        outcomes.complete(old, Product(renditions=()))
    assert outcomes.fail(old, "code", "message") is False
    assert transitions.put_back(old) is False
    stored = Job.objects.get()
    assert (stored.state, stored.owner, stored.fence) == ("processing", "new", new.fence)
    assert (stored.done, stored.beat, stored.error_code) == (0, 0, "")
    for record in (Success, Failure, Rendition):
        assert not record.objects.exists()


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_after_its_end_a_job_has_no_holder(end: str) -> None:
    make_job()
    job = claim()
    if end == "completed":
        outcomes.complete(job, Product(renditions=()))
    else:
        outcomes.fail(job, "code", "message")
    assert Job.objects.get().owner == ""
    with pytest.raises(LeaseLost):
        leases.renew(job)


# The reaper


def test_a_dead_owner_is_noticed_at_once(other: subprocess.Popen[bytes]) -> None:
    make_job()
    claim(leases.owner_of(other.pid))
    reaper = Reaper(lease_s=3600)
    assert reaper.gone() == []
    kill(other)
    assert [job.pk for job in reaper.gone()] == [Job.objects.get().pk]


def test_silence_is_measured_from_the_first_look() -> None:
    make_job()
    claim(ELSEWHERE)
    reaper = Reaper(lease_s=0.3)
    assert reaper.gone() == []
    assert wait_for(reaper.gone, within_s=20)


def test_a_beat_starts_the_time_anew() -> None:
    make_job()
    job = claim(ELSEWHERE)
    reaper = Reaper(lease_s=0.3)
    reaper.gone()

    def beaten_and_gone() -> bool:
        leases.renew(job)
        return bool(reaper.gone())

    looks = [beaten_and_gone() for _ in range(50)]
    assert not any(looks)
    assert wait_for(reaper.gone, within_s=20)


def test_a_new_claim_is_another_lease() -> None:
    make_job()
    reaper = Reaper(lease_s=0.3)
    old = claim(ELSEWHERE)
    wait_for(reaper.gone, within_s=20)
    leases.give_back(old)
    claim(ELSEWHERE)
    assert reaper.gone() == []


def test_a_clock_that_jumps_takes_nothing_away() -> None:
    make_job()
    claim(ELSEWHERE)
    Job.objects.update(claimed_at="2000-01-01T00:00Z", updated_at="2000-01-01T00:00Z")
    reaper = Reaper(lease_s=3600)
    assert reaper.gone() == []
    assert reaper.gone() == []


def test_a_living_silent_holder_of_this_host_loses_its_lease_too() -> None:
    make_job()
    claim(leases.myself())
    reaper = Reaper(lease_s=0.3)
    assert wait_for(reaper.gone, within_s=20)


# What a loss costs


def lose() -> int:
    """Claim the best job with an owner that is dead already, and reap it."""
    claim(DEAD)
    return clerk.reap(Reaper())


def test_a_lost_job_runs_again() -> None:
    make_job()
    assert lose() == 1
    job = Job.objects.get()
    assert (job.state, job.owner, job.lost_leases) == ("pending", "", 1)


def test_the_third_loss_fails_the_job() -> None:
    make_job()
    assert [lose() for _ in range(3)] == [1, 1, 1]
    job = Job.objects.get()
    assert (job.state, job.error_code) == ("failed", "worker_lost")
    assert Failure.objects.get().code == "worker_lost"
    assert job.has_source


def test_what_we_cut_ourselves_does_not_count() -> None:
    make_job()
    for _ in range(5):
        claim(DEAD)
        assert leases.excuse() == 1
        assert clerk.reap(Reaper()) == 1
    job = Job.objects.get()
    assert (job.state, job.lost_leases, job.excused) == ("pending", 0, True)
    assert job.attempts == 0
    assert [lose(), lose()] == [1, 1]
    claim(DEAD)
    leases.excuse()
    assert clerk.reap(Reaper()) == 1
    job.refresh_from_db()
    assert (job.state, job.lost_leases, job.attempts) == ("pending", 2, 2)


def test_only_the_named_owners_of_this_host_are_excused() -> None:
    for number in range(3):
        make_job(f"s{number}", picture(number))
    here = leases.myself()
    for owner in (here, leases.owner_of(1), ELSEWHERE):
        claim(owner)
    assert leases.excuse([here, ELSEWHERE]) == 1
    assert Job.objects.get(excused=True).owner == here
    assert leases.excuse() == 2
    assert not Job.objects.get(owner=ELSEWHERE).excused


def test_a_job_that_ended_meanwhile_is_left_alone() -> None:
    make_job()
    job = claim(ELSEWHERE)
    reaper = Reaper(lease_s=0.0)
    gone = reaper.gone()
    outcomes.complete(job, Product(renditions=()))
    assert [leases.give_back(each) for each in gone] == [False]
    assert clerk.reap(reaper) == 0
    assert Job.objects.get().state == "completed"
