"""What a worker does with a wake-up: claim the best job, convert, deliver, finish."""

import errno
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from delivery.backends.errors import NoObject
from delivery.errors import DeliveryError
from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.plan import Outcome, Plan, Rendition
from jobs import (
    bells,
    bucket,
    cluster,
    deliveries,
    hosted,
    house,
    intake,
    leases,
    names,
    outages,
    outcomes,
    shares,
    staging,
    transitions,
)
from jobs.leases import LeaseLost
from jobs.models import Job
from jobs.models import Rendition as RenditionRow
from jobs.outcomes import Product, Published
from jobs.sending import FirstRound
from jobs.spec import JobSpec, load
from jobs.states import Stage

log = logging.getLogger("pixerve.jobs")

CRASHED = "decoder_crashed"
MAX_CRASHES = 2  # it may be the picture's fault, or that of a moment, or of a picture before it
BACKOFF_S = (5, 30, 120)  # between tries of a job whose trouble can pass
# Memory, processes, open files, room on a disk: another time there may be some.
SHORTAGES = frozenset(
    {errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
)
NOT_OURS = "job %s was given to somebody else meanwhile"
TICK_S = 1.0
WAKE_S = 2.0
T = TypeVar("T")
AWAY_PAUSE_S = 10  # before a job whose files are in a bucket that is away is looked at again
SHOW_PROGRESS_S = 1.0  # shorter jobs are over before anybody asks how far they are

converter = Converter(roots=house.roots, budget=house.budget)


class HandedBack(Exception):
    """This cluster stops and cannot wait for the job's end; another will make it."""


def wake() -> None:
    """One wake-up: see the best runnable job through, and then the next best while there is one.

    A wake-up takes django-q2 three processes to hand out and to book; what waits need not pay that
    for each job. It ends after a while, so that stored tasks get their turn.
    """
    until = time.monotonic() + WAKE_S
    while not cluster.stopping() and _next() and time.monotonic() < until:
        pass


def _next() -> bool:
    """Claim and run one job; whether there was one."""
    try:
        job = transitions.claim_best(leases.myself())
    except outages.AWAY as error:
        # The broker will find the job again; had the claim happened, its lease would run out.
        log.warning("the database is away; nothing was claimed: %s", str(error).strip())
        return False
    if job is None:
        return False
    run(job)
    if shares.limited():
        bells.queue.ring()  # the subject has room for its next one
    return True


def run(job: Job) -> None:
    """Work on a claimed job until it ends, is handed back, or is not ours any more."""
    try:
        if job.spec.get("storageKeys"):
            _make_and_deliver(job)
        else:
            product = _make(job)
            _insist(lambda: outcomes.complete(job, product))
            log.info("job %s completed", job.uid)
    except LeaseLost:
        log.warning(NOT_OURS, job.uid)
    except HandedBack:
        transitions.put_back(job, attempts=F("attempts") - 1)
    except staging.Away as error:
        log.warning("job %s waits for the bucket: %s", job.uid, error)
        pause = timezone.now() + timedelta(seconds=AWAY_PAUSE_S)
        back = {"attempts": F("attempts") - 1, "run_after": pause}
        _insist(lambda: transitions.put_back(job, **back))
    except outages.AWAY:
        log.exception("job %s: the database did not take the outcome; it will run again", job.uid)
        _give_back(job)
    except (PictureError, DeliveryError) as error:
        _fail_or_try_again(job, error)
    except Exception as error:
        if short := _shortage(error):
            _fail_or_try_again(job, short)
            return
        log.exception("job %s failed by a fault of ours", job.uid)
        message = "an internal error; the log has the details"
        _insist(lambda: outcomes.fail(job, "internal_error", message))


def _insist(write: Callable[[], T]) -> T:
    return outages.insist(write, unless=cluster.stopping)


def _give_back(job: Job) -> None:
    """Back to the queue at once when the database is back; else the lease runs out by itself."""
    try:
        _insist(lambda: transitions.put_back(job, attempts=F("attempts") - 1))
    except outages.AWAY:
        log.warning("job %s: its lease has to run out", job.uid)


def _make(job: Job) -> Product:
    spec = load(job.spec)
    pulse = Pulse(job)
    outcome = _convert(job, spec, pulse)
    pulse.enter(Stage.DELIVERING)
    started = time.monotonic()
    published = _host(job, spec, outcome.renditions, pulse) if spec.direct_host else []
    return Product(
        renditions=outcome.renditions,
        published=published,
        warnings=_warnings(outcome),
        timings=_timings(job, outcome) | {"deliver": _ms_since(started)},
    )


def _make_and_deliver(job: Job) -> None:
    """Convert, unless that was done before; then deliver everywhere side by side, and leave what
    must be tried again to the clerk."""
    spec = load(job.spec)
    pulse = Pulse(job)
    if not deliveries.resume(job):
        outcome = _convert(job, spec, pulse)
        about = {"warnings": _warnings(outcome), "timings": _timings(job, outcome)}
        staging.keep_made(job.uid, job.fence, outcome.renditions, pulse.beat)
        deliveries.plan(job, outcome.renditions, **about)
    pulse.done = job.total
    started = time.monotonic()
    with FirstRound(job) as first:
        first.start()
        made = list(job.renditions.order_by("id"))
        published = _host(job, spec, made, pulse) if spec.direct_host else []
        first.see_through(pulse.beat)
        with transaction.atomic():
            leases.renew(job, timings=_delivered_in(job, started))
            first.note()
            outcomes.write_hosted(job, published)
            deliveries.park(job)


def _delivered_in(job: Job, started: float) -> dict[str, float]:
    timings = Job.objects.values_list("timings", flat=True).get(pk=job.pk)
    return {**timings, "deliver": _ms_since(started)}


def _ms_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def _warnings(outcome: Outcome) -> list[dict[str, str]]:
    return [{"code": each.code, "message": each.message} for each in outcome.warnings]


def _timings(job: Job, outcome: Outcome) -> dict[str, float]:
    return {"queued": _queued_ms(job), **outcome.timings}


def _queued_ms(job: Job) -> float:
    waited = (job.claimed_at or job.created_at) - max(job.created_at, job.run_after)
    return round(max(0.0, waited.total_seconds()) * 1000, 1)


def limits() -> Limits:
    """The limits of one conversion, from the settings."""
    config = settings.PIXERVE
    return Limits(
        max_pixels=config.max_pixels,
        max_side=config.max_side,
        max_frames=config.max_frames,
        timeout_s=float(config.job_timeout),
        threads=max(1, (os.cpu_count() or 1) // config.max_workers),
    )


def _convert(job: Job, spec: JobSpec, pulse: "Pulse") -> Outcome:
    source = _source(job, pulse)
    out_dir = _make_out_dir(job)
    plan = Plan(
        source=source,
        out_dir=out_dir,
        variants=intake.outputs(spec, job.reference_id, job.stem, job.source_format),
        limits=limits(),
        fonts_dir=settings.PIXERVE.fonts_dir,
    )
    return converter.convert(plan, on_beat=pulse.beat, beat_s=TICK_S, on_rendition=pulse.made)


def _source(job: Job, pulse: "Pulse") -> Path:
    try:
        return staging.source(job.uid, job.sha256, pulse.beat)
    except NoObject:
        raise PictureError("source_missing", "The upload is no longer in staging.") from None
    except OSError as error:
        raise _disk_full(error) from error


def _make_out_dir(job: Job) -> Path:
    path = staging.out_dir(job.uid, job.fence)
    try:
        path.mkdir(mode=0o700, parents=bucket.in_use())
    except FileNotFoundError:
        raise PictureError("source_missing", "The upload is no longer in staging.") from None
    except OSError as error:
        raise _disk_full(error) from error
    return path


def _disk_full(error: OSError) -> PictureError:
    return PictureError("disk_full", f"Staging takes no files: {error.strerror}.")


def _host(
    job: Job, spec: JobSpec, made: Sequence[Rendition | RenditionRow], pulse: "Pulse"
) -> list[Published]:
    claim = job.made_by or job.fence
    wanted = [
        Published(
            names.object_key(spec.sub_dir or "", each.name),
            each.sha256,
            each.bytes,
            0,
            deliveries.media_type(job, each.format),
        )
        for each in made
    ]
    if spec.private or bucket.in_use():
        outcomes.announce(job, [each.key for each in wanted], private=spec.private)
    if claim != job.fence:  # an earlier claim made them, perhaps on another host
        staging.bring_all(job.uid, claim, made, pulse.beat)
    with staging.patient():
        made_in = staging.out_dir(job.uid, claim)
        return hosted.publish(wanted, made_in, pulse.beat, again=job.fence > 1)


def _fail_or_try_again(job: Job, error: PictureError | DeliveryError) -> None:
    crashed = int(error.code == CRASHED)  # PostgreSQL adds no booleans
    may_crash = not crashed or job.crashes + 1 < MAX_CRASHES
    if _can_pass(error) and may_crash and job.attempts <= len(BACKOFF_S):
        pause = timedelta(seconds=BACKOFF_S[job.attempts - 1])
        back = {"run_after": timezone.now() + pause, "crashes": F("crashes") + crashed}
        noted = _insist(lambda: transitions.put_back(job, **back))
    else:
        noted = _insist(lambda: outcomes.fail(job, error.code, error.message))
    # A former holder stumbles over what the new one has moved; that says nothing about the job.
    if noted:
        log.warning("job %s: %s: %s", job.uid, error.code, error.message)
    else:
        log.warning(NOT_OURS, job.uid)


def _shortage(error: Exception) -> PictureError | None:
    """What the machine is short of just now, if that is what went wrong."""
    if isinstance(error, MemoryError):
        return PictureError("machine_short", "The machine has no memory left.")
    if isinstance(error, OSError) and error.errno in SHORTAGES:
        return PictureError("machine_short", f"The machine is short: {error.strerror}.")
    return None


def _can_pass(error: PictureError | DeliveryError) -> bool:
    return error.retryable if isinstance(error, PictureError) else not error.permanent


class Pulse:
    """The sign of life of a running job; also notes its progress and hears the call to stop."""

    def __init__(self, job: Job) -> None:
        self.done = 0
        self._job = job
        self._written = 0
        self._begun = time.monotonic()
        self._next = self._sure_until = time.monotonic() + leases.BEAT_S
        self._stopping = cluster.Stopwatch()
        self._patience = max(1.0, settings.PIXERVE.stop_grace - 15.0)

    def made(self, rendition: Rendition) -> None:
        self.done += 1

    def beat(self) -> None:
        """Called every second. Raises LeaseLost, HandedBack."""
        if self._stopping.seconds() > self._patience:
            raise HandedBack(str(self._job.uid))
        if time.monotonic() < self._next and not self._progress_due():
            return
        self._renew()

    def _progress_due(self) -> bool:
        return self.done != self._written and time.monotonic() >= self._begun + SHOW_PROGRESS_S

    def enter(self, stage: Stage) -> None:
        """Note a new stage, unless the lease was renewed a moment ago: then nobody can have taken
        it, and most stages are over before anybody could read of them. Raises LeaseLost, and what
        says that the database stays away: without it nobody knows whose the job is."""
        if time.monotonic() >= self._sure_until:
            _insist(lambda: leases.renew(self._job, done=self.done, stage=stage))
            self._renewed()

    def _renew(self) -> None:
        """Renew the lease now, and write progress. Raises LeaseLost."""
        try:
            leases.renew(self._job, done=self.done)
        except outages.AWAY:
            # A database that is locked for a while is no reason to cut a healthy job.
            log.warning("job %s: a beat was not taken by the database", self._job.uid)
            outages.forget_connection()
            self._written = self.done
            self._next = time.monotonic() + leases.BEAT_S
        else:
            self._renewed()

    def _renewed(self) -> None:
        cluster.show_life()
        self._written = self.done
        self._next = self._sure_until = time.monotonic() + leases.BEAT_S
