"""What holds after each strike, as the API, the files, the storage and the receiver show it.

Every upload that was taken ends once (I1), its files are what their records say and there are no
others (I2), `/health` was answered in time (I4), and each end was told under one id (I5). That
nothing is left behind (I3) is looked at once, when all strikes are over.
"""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psutil

from tests.acceptance.evidence import cast, rows
from tests.faults import table
from tests.faults.stack import WORKERS
from tests.faults.table import Verdict
from tests.faults.work import Work
from tests.server import wait_for

LONGEST_S = 90.0
RECOVERY_S = 60.0
SILENT_S = 1.0
RESTART_S = 5.0
START_S = 10.0  # of the whole, the supervisor included
SWEPT_S = 120.0


def check(
    work: Work,
    record: table.Record,
    struck: float,
    *,
    silent_s: float = SILENT_S,
    gone: Sequence[psutil.Process] = (),
    refuses: bool = False,
) -> None:
    """Wait until all is well, and judge. `struck` is when the fault was done, or, if it is one that
    has to pass first, when it was over (monotonic seconds). `gone` were killed. With `refuses` some
    uploads may have got a 503 that says when to come again."""
    for answer in work.refused:
        assert refuses, answer
        assert (answer.status, "Retry-After" in answer.headers) == (503, True), answer
    trouble = _settle(work, {each.pid for each in gone})
    verdict = _judge(work, struck, time.monotonic())
    table.note(record, verdict)
    log = work.stack.server.log[-6000:]
    assert not trouble, f"{trouble} {verdict}\n{log}"
    assert (verdict.lost, verdict.doubled, verdict.wrong) == (0, 0, ()), f"{verdict}\n{log}"
    assert verdict.recovery_s <= RECOVERY_S, f"{verdict}\n{log}"
    assert verdict.silent_s <= silent_s, f"{verdict}\n{log}"


def _settle(work: Work, gone: set[int]) -> str:
    """Wait until all is over and told and every process is there again; why it is not."""
    server = work.stack.server
    try:
        wait_for(lambda: not gone & server.processes().keys(), what="the end of what was killed")
        wait_for(lambda: _settled(work), within_s=LONGEST_S, every_s=0.1, what="the end of all")
        cast(server, workers=WORKERS)
    except AssertionError as late:
        return str(late)
    return ""


def _settled(work: Work) -> bool:
    try:
        _ask_for_unanswered(work)
        told = {each["job_id"] for each in events(work) if _is_told(each)}
    except OSError:
        return False
    return not work.unanswered and work.taken.keys() <= told


def _ask_for_unanswered(work: Work) -> None:
    """What nobody answered is a job, or it is none."""
    for sha256 in list(work.unanswered):
        answer = work.stack.server.get(f"/status?hash={sha256}", token=work.token)
        if answer.status == 200:
            work.note(answer.json())
        if answer.status in {200, 404}:
            work.unanswered.remove(sha256)


def events(work: Work) -> list[dict[str, Any]]:
    """The ends of this run's jobs; empty while nobody can say."""
    answer = work.stack.server.get("/v1/events?limit=500", token=work.token)
    return list(answer.json()["events"]) if answer.status == 200 else []


def _is_told(event: dict[str, Any]) -> bool:
    return bool(event["callback"] and event["callback"]["state"] == "sent")


def _judge(work: Work, since: float, recovered: float) -> Verdict:
    ends = events(work)
    count = Counter(each["job_id"] for each in ends)
    told = {call.id for call in list(work.stack.receiver.calls)}
    untold = {each["job_id"] for each in ends if each["message_id"] not in told}
    return Verdict(
        stack=work.stack.name,
        row=work.row,
        uploads=len(work.taken),
        lost=sum(uid not in count or uid in untold for uid in work.taken),
        doubled=sum(count[uid] > 1 for uid in work.taken) + len(_strange_calls(work, ends)),
        recovery_s=round(recovered - since, 2),
        silent_s=round(work.stack.prober.longest(since), 2),
        wrong=(*_wrong_in_the_end(work), *_wrong_records(work)),
    )


def _strange_calls(work: Work, ends: list[dict[str, Any]]) -> set[str]:
    """Ids under which this run's jobs were told, and which are those of no end."""
    hashes = {each["hash"] for each in work.taken.values()}
    ids = {call.id for call in list(work.stack.receiver.calls) if call.json()["hash"] in hashes}
    return ids - {each["message_id"] for each in ends}


def _wrong_in_the_end(work: Work) -> list[str]:
    """What a cancelled job had put into the bucket is swept in a while."""
    if "cancelled" in work.ends:
        with suppress(AssertionError):
            wait_for(lambda: not _wrong_files(work), within_s=SWEPT_S, every_s=1.0)
    return _wrong_files(work)


def _wrong_files(work: Work) -> list[str]:
    found: list[str] = []
    hosted: dict[str, str] = {}
    delivered: dict[str, str] = {}
    for taken in work.taken.values():
        shown = work.stack.server.status(taken["hash"], work.token)
        if shown["state"] not in work.ends:
            found.append(f"{taken['hash']} is {shown['state']}: {shown.get('error')}")
        if shown["state"] != "completed":
            continue
        files = {each["name"]: each["sha256"] for each in shown["files"]}
        if sorted(files) != sorted(taken.get("expected_files", files)):
            found.append(f"{taken['hash']} has other files: {sorted(files)}")
        hosted |= files
        delivered |= files if shown.get("deliveries") else {}
    found += _differences("hosted", work.stack.hosted.below(work.name), hosted)
    return found + _differences("delivered", work.stack.delivered.below(work.name), delivered)


def _differences(what: str, found: dict[str, str], expected: dict[str, str]) -> list[str]:
    names = found.keys() | expected.keys()
    return [
        f"{what} {name}: {found.get(name)} is not {expected.get(name)}"
        for name in sorted(names)
        if found.get(name) != expected.get(name)
    ]


def _wrong_records(work: Work) -> list[str]:
    """Each job has one record of its end, and the table knows of none that was not taken."""
    server, found = work.stack.server, []
    jobs = rows(server, "SELECT state FROM jobs_job WHERE subject = ?", work.name)
    if len(jobs) != len(work.taken):
        found.append(f"{len(work.taken)} were taken, {len(jobs)} are there")
    for table_name, state in (("jobs_success", "completed"), ("jobs_failure", "failed")):
        query = f"SELECT count(*) FROM {table_name} WHERE subject = ?"  # noqa: S608 - our own names
        [[count]] = rows(server, query, work.name)
        wanted = sum(job["state"] == state for job in jobs)
        if count != wanted:
            found.append(f"{count} rows of {table_name} for {wanted}")
    return found
