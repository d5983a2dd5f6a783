"""One Pixerve in two pieces, as on a host with a unit for each: web, and the workers beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.server import Pixerve, free_port, wait_for


@dataclass
class Split:
    """Both pieces share folders, settings and the log."""

    web: Pixerve
    workers: Pixerve

    def kill(self) -> None:
        for piece in (self.web, self.workers):
            if piece.process is not None and piece.process.poll() is None:
                piece.kill()


@pytest.fixture(scope="package")
def split(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    """Started at the same moment on an empty folder."""
    folder: Path = tmp_path_factory.mktemp("split")
    env = {
        "PIXERVE_MAX_WORKERS": "1",
        "PIXERVE_PUBLIC_URL": "https://images.example.com",
        "PIXERVE_TRUSTED_PROXIES": "127.0.0.1",
        "PIXERVE_SENDFILE": "x-accel:/internal-files/",
    }
    port = free_port()
    found = Split(Pixerve(folder, port, env), Pixerve(folder, port, env))
    try:
        found.workers.launch("cluster", "clerk")
        found.web.start("web")
        wait_for(lambda: "clerk started" in found.web.log, what="the start of the clerk")
        yield found
    finally:
        found.kill()
