"""Gunicorn's settings: one process, many threads, so that SQLite's writers queue in one place."""

import gc
import os
import signal
from typing import Any

from gunicorn.http.unreader import SocketUnreader

from pixerve_site.config import current
from pixerve_site.parts import REPLACES
from pixerve_site.processes import kill, process_of

_config = current()

bind = (
    f"[{_config.host}]:{_config.port}" if ":" in _config.host else f"{_config.host}:{_config.port}"
)
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))
worker_class = "pixerve_site.patience.PatientWorker"
threads = _config.web_threads
worker_connections = 512
keepalive = 5
timeout = 60
graceful_timeout = max(1, _config.stop_grace - 10)
# Who is trusted is PIXERVE_TRUSTED_PROXIES' business, in one place.
forwarded_allow_ips = ""
limit_request_line = 8190
# Above the 16 KiB of the longest token, so that ours is the answer to a longer one.
limit_request_field_size = 32 * 1024
loglevel = "warning"
control_socket_disable = True

# Of a body, at once. Gunicorn would ask for up to 1 MiB; malloc returns blocks that large to the
# kernel, and the page faults of getting them anew were a sixth of an upload's CPU time.
SocketUnreader.max_body_chunk = 64 * 1024


def post_fork(_arbiter: Any, _worker: Any) -> None:
    """Until all is loaded there is no garbage, and looking for some is a sixth of the start."""
    gc.disable()


def post_worker_init(worker: Any) -> None:
    """What is loaded by now stays: the garbage collector need not walk through it."""
    gc.collect()
    gc.freeze()
    gc.enable()
    # Not before Django is set up, which loading the application did.
    from pixerve_site.health import look_at_bucket  # noqa: PLC0415

    look_at_bucket()
    _relieve(worker.ppid)


def _relieve(master: int) -> None:
    """Ask the process that this one is to replace to finish what it has begun, now that there is
    another who answers. A worker that is started later finds nobody, or a stranger."""
    before = process_of(int(os.environ.get(REPLACES) or 0))
    ours = process_of(master)
    if before is not None and ours is not None and before.ppid == ours.ppid:
        kill(before.pid, signal.SIGTERM)
