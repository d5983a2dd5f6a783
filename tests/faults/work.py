"""The work of one run: uploads of a subject of its own, what each got, and what became of it."""

import hashlib
import io
import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import psutil
from PIL import Image

from tests.acceptance.evidence import PHOTO, SMALL, another, holder
from tests.faults.stack import Stack
from tests.server import Answer, make_token

QUICK = {"formats": {"jpg": {"sizes": [[64], [32]]}}}
SLOW = {"formats": {"avif": {"settings": {"speed": 0}, "sizes": [[480], [481]]}}}
#: Above this a file goes to a bucket in parts.
LARGE_BYTES = 17 << 20


@cache
def _wide() -> bytes:
    """A picture of 81 megapixels in a megabyte: decoding it takes about a second."""
    tile = Image.linear_gradient("L").resize((9000, 90))
    whole = Image.new("RGB", (9000, 9000))
    for row in range(0, 9000, 90):
        whole.paste(Image.merge("RGB", (tile, tile, tile)), (0, row))
    found = io.BytesIO()
    whole.save(found, "PNG", compress_level=1)
    return found.getvalue()


def wide(mark: str) -> bytes:
    """The same as another file: PNG takes what follows its end."""
    return _wide() + mark.encode()


class Work:
    """Everything that one run uploads; `taken` by job id, as it was answered. Threads may share
    it."""

    def __init__(self, stack: Stack, row: str, moments: random.Random) -> None:
        self.stack = stack
        self.row = row
        self.moments = moments
        self.name = f"run-{uuid.uuid4().hex[:12]}"
        self.token = make_token(subject=self.name)
        self.taken: dict[str, dict[str, Any]] = {}
        self.refused: list[Answer] = []
        self.unanswered: list[str] = []
        self.ends = {"completed"}  # how jobs may end

    # --- uploads

    def upload(self, picture: bytes, job: dict[str, Any], *, stored: bool = False) -> str:
        """The job's id without dashes; "" where it was not taken, or nobody answered."""
        job = {
            "directHost": True,
            "subDir": self.name,
            "completionCallback": self.stack.receiver.url,
            **job,
        }
        if stored:
            job["storageKeys"] = {self.stack.storage_kind: self.stack.storage_key}
        sha256 = hashlib.sha256(picture).hexdigest()
        try:
            answer = self.stack.server.upload(picture, make_token(job, subject=self.name))
        except OSError:
            self.unanswered.append(sha256)
            return ""
        if answer.status == 202:
            return self.note(answer.json())
        self.refused.append(answer)
        if answer.json().get("code") == "database_unavailable":
            self.unanswered.append(sha256)  # which may have gone away at COMMIT
        return ""

    def note(self, taken: dict[str, Any]) -> str:
        """Remember a job that is there; its id without dashes, as the tables have it."""
        self.taken[taken["job_id"]] = taken
        return str(taken["job_id"]).replace("-", "")

    def quick(self, *, stored: bool = False) -> str:
        return self.upload(another(SMALL, uuid.uuid4().hex), QUICK, stored=stored)

    def slow(self, *, stored: bool = False) -> str:
        return self.upload(another(PHOTO, uuid.uuid4().hex), SLOW, stored=stored)

    def wide(self) -> str:
        return self.upload(wide(uuid.uuid4().hex), QUICK)

    def large(self) -> str:
        """One whose original, of some megabytes, is delivered too."""
        picture = another(SMALL, uuid.uuid4().hex, size=LARGE_BYTES)
        return self.upload(picture, {**QUICK, "keepOriginal": True}, stored=True)

    @contextmanager
    def load(self, count: int, at_once: int = 4) -> Iterator[None]:
        """Uploads of all kinds, side by side: a few before a `with` begins, the others in it."""
        begun = threading.Semaphore(0)

        def upload(number: int) -> None:
            begun.release()
            if number % 10 == 0:
                self.slow(stored=number % 20 == 0)
            else:
                self.quick(stored=number % 3 == 0)

        with ThreadPoolExecutor(at_once) as pool:
            found = [pool.submit(upload, number) for number in range(count)]
            for _ in range(2 * at_once):
                assert begun.acquire(timeout=60)
            yield
            for each in found:
                each.result(120)

    def busy(self) -> str:
        """A slow job that a worker works on."""
        uid = self.slow()
        self.holder(uid)
        return uid

    def holder(self, uid: str) -> psutil.Process:
        return holder(self.stack.server, uid)

    def pause(self, up_to_s: float) -> None:
        """A moment within a stage, another one with each seed."""
        time.sleep(self.moments.uniform(0, up_to_s))
