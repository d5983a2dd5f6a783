"""Carrying files to stores side by side: threads that keep the stores they have opened.

Nothing here knows a database: whoever hands parcels over notes what became of them.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue

from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.backends.base import Store, Stored
from delivery.backends.errors import ChecksumMismatch
from delivery.destination import Destination
from delivery.errors import DeliveryError

log = logging.getLogger("pixerve.delivery")

#: An idle thread hangs up and ends after so many seconds.
IDLE_S = 20.0
DEFAULT_CACHE_CONTROL = "public, no-cache"
"""Objects may be replaced under the same key, so caches keep them but ask again."""


@dataclass(frozen=True)
class Parcel:
    """One file for one store; ``ident`` is the sender's own name for it, ``size`` in bytes.

    ``again`` says that a former try may have been killed, and left something; ``given_up`` that
    this is all there is to do: the file is not sent any more. ``prepare`` is called in the thread
    that carries it and brings ``source`` where it is not there yet; it raises Unprepared.
    """

    ident: int
    to: Destination
    key: str
    source: Path
    size: int
    sha256: str
    media_type: str
    again: bool = False
    given_up: bool = False
    prepare: Callable[[], None] = lambda: None


class Unprepared(DeliveryError):
    """The file to send is not at hand: no fault of the store, which heard nothing of it.

    ``gone`` says that it never will be.
    """

    def __init__(self, message: str, *, gone: bool) -> None:
        super().__init__("source_unavailable", message, permanent=gone)
        self.gone = gone


@dataclass(frozen=True)
class Carried:
    """What became of a parcel: ``stored``, or the ``error`` that kept it from being stored.

    Neither is there for one that was given up and left nothing.
    """

    parcel: Parcel
    stored: Stored | None = None
    error: DeliveryError | None = None

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def permanent(self) -> bool:
        return self.error is not None and self.error.permanent

    @property
    def retry_after_s(self) -> float | None:
        """What the store asked for, in seconds."""
        found: float | None = getattr(self.error, "retry_after_s", None)
        return found


class Carrier:
    """At most ``threads`` uploads at a time. ``on_done`` is called in the thread of each one."""

    def __init__(
        self, threads: int, policy: AddressPolicy, on_done: Callable[[], None] = lambda: None
    ) -> None:
        self.threads = threads
        self.policy = policy
        self.done: SimpleQueue[Carried] = SimpleQueue()
        self._on_done = on_done
        self._todo: SimpleQueue[Parcel] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = 0
        self._awaited: dict[int, Parcel] = {}  # by id()
        self._carried: set[int] = set()  # those of them that a thread has

    def send(self, parcel: Parcel) -> None:
        """Take a parcel; what became of it appears in ``done``."""
        with self._lock:
            self._awaited[id(parcel)] = parcel
            self._todo.put(parcel)
            self._start_threads()

    def write_off(self, parcels: Iterable[Parcel]) -> None:
        """Wait no longer for these: nobody hears of them any more. Those that no thread has are not
        sent; the threads of the others, which end with them, do not count."""
        with self._lock:
            for parcel in parcels:
                self._running -= self._forget(parcel)
            self._start_threads()

    def _forget(self, parcel: Parcel) -> bool:
        """It is awaited no more; whether a thread has it, and it was."""
        self._awaited.pop(id(parcel), None)
        carried = id(parcel) in self._carried
        self._carried.discard(id(parcel))
        return carried

    def _start_threads(self) -> None:
        while self._running < min(len(self._awaited), self.threads):
            self._running += 1
            # Daemons: a process that must end does not wait for a store that hangs.
            threading.Thread(target=self._work, name="carrier", daemon=True).start()

    def finished(self, timeout_s: float = 0.0) -> list[Carried]:
        """All that ended by now; waits up to ``timeout_s`` for the first."""
        found: list[Carried] = []
        with suppress(Empty):
            found.append(self.done.get(timeout=timeout_s) if timeout_s else self.done.get_nowait())
            while True:
                found.append(self.done.get_nowait())
        return found

    def _work(self) -> None:
        stores = _Stores(self.policy)
        while (parcel := self._next()) is not None:
            carried = _carry(stores, parcel)
            with self._lock:
                if not self._forget(parcel):
                    break  # it was written off, and this thread with it
            self.done.put(carried)
            self._on_done()
        stores.close()

    def _next(self) -> Parcel | None:
        """What is to be carried; None when this thread has been idle for long, and leaves."""
        with suppress(Empty):
            while True:
                parcel = self._todo.get(timeout=IDLE_S)
                with self._lock:
                    if self._take(parcel):
                        return parcel
        with self._lock:
            with suppress(Empty):
                while True:
                    parcel = self._todo.get_nowait()  # it came while we were about to leave
                    if self._take(parcel):
                        return parcel
            self._running -= 1
        return None

    def _take(self, parcel: Parcel) -> bool:
        """Whether it is still awaited; then the calling thread has it."""
        if id(parcel) not in self._awaited:
            return False
        self._carried.add(id(parcel))
        return True


@dataclass
class _Stores:
    """The stores of one thread, by what they lead to."""

    policy: AddressPolicy
    open: dict[tuple[str, str], tuple[str, Store]] = field(default_factory=dict)

    def get(self, to: Destination) -> Store:
        name = (to.type, to.key)
        version, store = self.open.get(name, ("", None))
        if store is None or version != to.version:
            self.drop(to)
            store = backends.load(to.type).open(to, self.policy)
            self.open[name] = (to.version, store)
        return store

    def drop(self, to: Destination) -> None:
        """Hang up: after an error nobody knows what state the connection is in."""
        _, store = self.open.pop((to.type, to.key), ("", None))
        if store is not None:
            with suppress(Exception):
                store.close()

    def close(self) -> None:
        for _, store in self.open.values():
            with suppress(Exception):
                store.close()


def _carry(stores: _Stores, parcel: Parcel) -> Carried:
    began = time.monotonic()
    try:
        if not parcel.given_up:
            parcel.prepare()
        store = stores.get(parcel.to)
        if parcel.given_up or (parcel.again and not store.put_cleans):
            _clean(store, parcel)
        stored = None if parcel.given_up else _put(store, parcel)
    except Unprepared as error:
        return Carried(parcel, error=error)
    except DeliveryError as error:
        stores.drop(parcel.to)
        return Carried(parcel, error=error)
    except Exception as error:  # its words may hold a secret: only its place is told
        stores.drop(parcel.to)
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("%s raised %s\n%s", parcel.to, type(error).__name__, where)  # noqa: TRY400
        return Carried(
            parcel,
            error=DeliveryError("internal_error", "a fault of ours; the server's log has details"),
        )
    log.debug("%s took %s in %.3f s", parcel.to, parcel.key, time.monotonic() - began)
    return Carried(parcel, stored)


def _clean(store: Store, parcel: Parcel) -> None:
    """A store that lets us put, but not clean up, is no reason to fail."""
    try:
        store.clean(parcel.key, parcel.size)
    except DeliveryError as error:
        if not error.permanent:
            raise


def _put(store: Store, parcel: Parcel) -> Stored:
    stored = store.put(
        parcel.key,
        parcel.source,
        media_type=parcel.media_type,
        cache_control=parcel.to.options.get("cache_control") or DEFAULT_CACHE_CONTROL,
        sha256=parcel.sha256,
    )
    if stored.bytes != parcel.size:
        raise ChecksumMismatch(f"the store has {stored.bytes} bytes of {parcel.size}")
    return stored
