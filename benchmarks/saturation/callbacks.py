"""How many callbacks one clerk sends, to one receiver and to several."""

import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.accounting import between, cpu_by_role, on_cores
from benchmarks.load.pictures import variants_of
from benchmarks.load.stacks import held_to, two_cores, warmed
from benchmarks.load.watch import Table
from tests.acceptance.endpoint import Endpoint, endpoint
from tests.server import IMAGES, Pixerve, make_token, wait_for

CALLBACKS = 400
RECEIVERS = (1, 8)


def main(folder: Path, scale: float) -> None:
    theirs, mine = two_cores()
    with on_cores({mine}):
        for count in RECEIVERS:
            callbacks(folder / str(count), theirs, count, max(20, int(CALLBACKS * scale)))


def callbacks(folder: Path, core: int, receivers: int, count: int) -> None:
    """The jobs are done while no clerk runs; then one starts."""
    with ExitStack() as stack:
        to = [stack.enter_context(endpoint()) for _ in range(receivers)]
        with held_to(core, folder, parts=("web", "cluster")) as server:
            warmed(server)
            wait_for_ends(server, [each.url for each in to], count)
        clerk = stack.enter_context(held_to(core, folder, parts=("clerk",)))
        wait_for(lambda: _calls(to) > 0, what="the first callback")
        first, before, begun = _calls(to), cpu_by_role(clerk), time.monotonic()
        wait_for(lambda: _calls(to) >= count, within_s=600, what="all callbacks")
        spent_s, sent = time.monotonic() - begun, _calls(to) - first
        cost = between(before, cpu_by_role(clerk), sent / 1000)["clerk"]
    print(
        f"callbacks, {receivers} receivers: {sent / spent_s:.0f}/s; CPU of the clerk {cost:.1f} ms"
        " each",
        flush=True,
    )


def _calls(to: list[Endpoint]) -> int:
    return sum(len(each.calls) for each in to)


def wait_for_ends(server: Pixerve, urls: list[str], count: int) -> None:
    """So many small jobs, each of which wants to be told of."""
    picture = variants_of((IMAGES / "pil_hopper.jpg").read_bytes())
    formats = {"jpg": {"sizes": [[32]]}}
    for number in range(count):
        url = urls[number % len(urls)]
        job = {"formats": formats, "directHost": True, "completionCallback": url}
        assert server.upload(picture(number), make_token(job)).status == 202
    table = Table(server)
    query = "SELECT COUNT(*) FROM jobs_callback"
    wait_for(lambda: table.rows(query)[0][0] >= count, within_s=600, what="the ends of all jobs")
    table.close()
