"""Sending callbacks from their rows: claimed, posted, noted; at least once, never twice at once."""

import json
import logging
import random
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from credentials.sealing import Unreadable, unseal
from delivery import retry, webhook
from jobs import bells, leases, outages
from jobs.events import endpoint_of
from jobs.intake import headers_purpose
from jobs.models import Callback, CallbackAttempt, CallbackState
from jobs.spec import callback_policy

log = logging.getLogger("pixerve.callbacks")

THREADS = 16
EACH_ENDPOINT = 4
EACH_SUBJECT = 8  # whatever names it finds for its slow endpoints
LOOK_AHEAD = 200  # due callbacks to look at when many wait for one endpoint
TIMEOUT_S = 15.0
# Longer than any attempt: a holder on another host that says nothing for so long is taken for gone.
HELD_S = 45
MAX_ERROR = 300


def due() -> QuerySet[Callback]:
    """Callbacks to send now, those whose former holder was silent for too long included."""
    return (
        Callback.objects.filter(
            state__in=[CallbackState.WAITING, CallbackState.SENDING], next_at__lte=timezone.now()
        )
        .select_related("job", "event")
        .order_by("next_at")
    )


def claim(callback: Callback, owner: str) -> bool:
    """Make `owner` the only sender of this row."""
    rows = Callback.objects.filter(pk=callback.pk, state=callback.state, fence=callback.fence)
    return bool(
        rows.update(
            state=CallbackState.SENDING,
            owner=owner,
            fence=F("fence") + 1,
            next_at=timezone.now() + timedelta(seconds=HELD_S),
        )
    )


def reclaim_orphans() -> int:
    """Make those wait again whose sender died on this host."""
    sending = Callback.objects.filter(state=CallbackState.SENDING)
    dead = [owner for owner in sending.values_list("owner", flat=True) if leases.is_dead(owner)]
    # By owner, not by row: another clerk may have claimed such a row since we looked.
    return sending.filter(owner__in=dead).update(
        state=CallbackState.WAITING, next_at=timezone.now(), fence=F("fence") + 1
    )


def replay(callbacks: QuerySet[Callback]) -> int:
    """Send them now, whatever became of them, with the whole schedule before them; returns how
    many. One that is being sent at this moment is left alone."""
    # By id, as an UPDATE that joins would not look again at a state that it had to wait for.
    rows = Callback.objects.filter(pk__in=callbacks.order_by().values("pk"))
    count = rows.exclude(state=CallbackState.SENDING).update(
        state=CallbackState.WAITING,
        next_at=timezone.now(),
        finished_at=None,
        attempts_before=F("attempts_made"),
    )
    transaction.on_commit(bells.clerk.ring, robust=True)
    return count


def send_now(callback: Callback) -> webhook.Attempt:
    """POST a claimed callback once and note what came of it."""
    attempt = _post(callback)
    note(callback, attempt)
    return attempt


def _post(callback: Callback) -> webhook.Attempt:
    try:
        headers = (
            unseal(callback.sealed_headers, purpose=headers_purpose(callback.job.uid))
            if callback.sealed_headers
            else {}
        )
    except Unreadable as error:
        return webhook.Attempt(
            ok=False,
            status=None,
            error=f"headers_unreadable: {error}",
            duration_s=0.0,
            permanent=True,
            retry_after_s=None,
        )
    message = webhook.Message(
        id=str(callback.event.message_id),
        url=callback.url,
        event=callback.event.type,
        body=json.dumps(callback.event.payload, separators=(",", ":")).encode(),
        headers=headers,  # type: ignore[arg-type]
    )
    return webhook.send(
        message,
        policy=callback_policy(),
        timeout_s=TIMEOUT_S,
        version=settings.VERSION,
        sign=settings.KEYS.signer,
    )


def _next_state(number: int, attempt: webhook.Attempt) -> dict[str, object]:
    """What follows attempt `number` since the callback was written or replayed."""
    now = timezone.now()
    if attempt.ok:
        return {"state": CallbackState.SENT, "finished_at": now}
    schedule = settings.PIXERVE.callback_schedule
    decision = retry.decide(number, attempt, schedule=schedule, jitter=random.random)
    if not decision.retry:
        return {"state": CallbackState.GIVEN_UP, "finished_at": now}
    return {
        "state": CallbackState.WAITING,
        "next_at": now + timedelta(seconds=decision.delay_s),
    }


def note(callback: Callback, attempt: webhook.Attempt) -> None:
    """Write what came of an attempt. Done twice, it is written once."""
    number = callback.attempts_made + 1
    with transaction.atomic():
        noted = Callback.objects.filter(pk=callback.pk, fence=callback.fence).update(
            attempts_made=number,
            owner="",
            fence=F("fence") + 1,
            **_next_state(number - callback.attempts_before, attempt),
        )
        if noted or not CallbackAttempt.objects.filter(callback=callback, number=number).exists():
            CallbackAttempt.objects.create(
                callback=callback,
                number=number,
                status=attempt.status,
                duration_s=round(attempt.duration_s, 3),
                error=(attempt.error or "")[:MAX_ERROR],
            )
    if not attempt.ok:
        log.warning("callback %s, attempt %d: %s", callback.event.message_id, number, attempt.error)


class Sender:
    """Sends due callbacks side by side, a few to each endpoint and of each subject, so that a slow
    one holds up only itself."""

    def __init__(
        self, threads: int = THREADS, each: int = EACH_ENDPOINT, of_subject: int = EACH_SUBJECT
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="callback")
        self._threads = threads
        self._each = each
        self._of_subject = of_subject
        self._running: dict[Future[None], tuple[str, str]] = {}  # its endpoint and its subject
        self._unwritten: deque[tuple[Callback, webhook.Attempt]] = deque()
        self._owner = leases.myself()

    def send_due(self) -> int:
        """Start sending what is due, as far as threads are free; returns how many."""
        self._write_the_rest()
        reclaim_orphans()
        self._running = {each: whose for each, whose in self._running.items() if not each.done()}
        started, more = 0, True
        while more and len(self._running) < self._threads:
            # However many wait for a slow endpoint, the others' are found behind them.
            endpoints, subjects = self._full()
            others = due().exclude(endpoint__in=endpoints).exclude(job__subject__in=subjects)
            found = list(others[:LOOK_AHEAD])
            begun = sum(map(self._start, found))
            more = begun > 0 and len(found) == LOOK_AHEAD
            started += begun
        return started

    def _full(self) -> tuple[list[str], list[str]]:
        """Endpoints, and subjects, that have as many as they may."""
        endpoints = Counter(endpoint for endpoint, _ in self._running.values())
        subjects = Counter(subject for _, subject in self._running.values())
        return (
            [name for name, count in endpoints.items() if count >= self._each],
            [name for name, count in subjects.items() if count >= self._of_subject],
        )

    def _start(self, callback: Callback) -> bool:
        endpoint = callback.endpoint or endpoint_of(callback.url)
        endpoints, subjects = self._full()
        full = endpoint in endpoints or callback.job.subject in subjects
        if full or len(self._running) >= self._threads:
            return False
        if not claim(callback, self._owner):
            return False
        callback.fence += 1
        self._running[self._pool.submit(self._send, callback)] = endpoint, callback.job.subject
        return True

    def _send(self, callback: Callback) -> None:
        try:
            attempt = _post(callback)
            try:
                note(callback, attempt)
            except outages.AWAY:
                log.exception("callback %s could not be noted yet", callback.event.message_id)
                self._unwritten.append((callback, attempt))
        except Exception:
            log.exception("callback %s could not be sent", callback.event.message_id)
        finally:
            connection.close()
            bells.clerk.ring_here()  # a thread is free: the next one need not wait for the tick

    def _write_the_rest(self) -> None:
        """What the database did not take when it was sent. Raises where it is still away."""
        while self._unwritten:
            sent = self._unwritten.popleft()
            try:
                note(*sent)
            except outages.AWAY:
                self._unwritten.appendleft(sent)
                raise

    def close(self) -> None:
        """Wait for the requests under way; each is bounded by its deadline."""
        self._pool.shutdown(wait=True, cancel_futures=True)
