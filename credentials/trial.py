"""Trying a credential out: its backend is opened and writes, reads back and deletes a probe."""

import logging
import threading
import time
import traceback
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from django.conf import settings

from credentials import resolver
from credentials.errors import TrialsUnderWay
from credentials.models import Credential
from credentials.sealing import Unreadable
from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.destination import Destination
from delivery.errors import DeliveryError

log = logging.getLogger("pixerve.credentials")

LONGEST_S = 30.0
SIDE_BY_SIDE = 4

_free = threading.BoundedSemaphore(SIDE_BY_SIDE)


@dataclass(frozen=True)
class Verdict:
    """`code` and `message` say what failed; `permanent` that waiting cannot help."""

    ok: bool
    code: str = ""
    message: str = ""
    permanent: bool = False
    duration_s: float = 0.0


def run(credential: Credential, longest_s: float = LONGEST_S) -> Verdict:
    """What came of it, within `longest_s` seconds. Raises TrialsUnderWay."""
    try:
        place = resolver.destination(credential)
    except Unreadable as error:
        return Verdict(False, "credential_unreadable", str(error), permanent=True)
    began = time.monotonic()
    failed = _within(place, longest_s)
    took = round(time.monotonic() - began, 3)
    if failed is None:
        return Verdict(True, duration_s=took)
    return Verdict(False, failed.code, _without(place, failed.message), failed.permanent, took)


def _within(place: Destination, longest_s: float) -> DeliveryError | None:
    """What failed. A thread that hangs in a client library is left behind, with its place."""
    if not _free.acquire(blocking=False):
        raise TrialsUnderWay
    ends: SimpleQueue[DeliveryError | None] = SimpleQueue()

    def work() -> None:
        try:
            ends.put(_probe(place))
        finally:
            _free.release()

    threading.Thread(target=work, name="credential-trial", daemon=True).start()
    try:
        return ends.get(timeout=longest_s)
    except Empty:
        return DeliveryError("timeout", f"no end within {longest_s:g} seconds")


def _probe(place: Destination) -> DeliveryError | None:
    policy = AddressPolicy(settings.PIXERVE.callback_allow_private)
    try:
        with backends.load(place.type).open(place, policy) as store:
            store.probe()
    except DeliveryError as error:
        return error
    except Exception as error:  # its words may hold a secret: only its place is told
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("trying %s raised %s\n%s", place, type(error).__name__, where)  # noqa: TRY400
        return DeliveryError("internal_error", "a fault of ours; the server's log has the details")
    return None


def _without(place: Destination, message: str) -> str:
    """Backends do not tell secrets; should one do, it is cut out here."""
    for value in place.secret.values():
        message = message.replace(value, "…")
    return message
