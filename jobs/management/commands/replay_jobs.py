"""`manage.py replay_jobs`: run failed jobs again, all or those that the options choose."""

import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from jobs import dead_letters
from jobs.models import Job

BATCH = 500


def _moment(text: str) -> datetime:
    moment = parse_datetime(text)
    if moment is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 2026-11-21T08:00:00Z")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Run failed jobs again whose upload is still kept, those that failed first in front."
        " Several options narrow each other."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--code", help="those that failed with this error code")
        parser.add_argument(
            "--since", type=_moment, metavar="TIME", help="those that failed since then"
        )
        parser.add_argument("--subject", help="those of this subject")
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _chosen(options["code"], options["since"], options["subject"])
        if options["dry_run"]:
            self.stdout.write(f"would replay {chosen.count()} jobs")
            return
        done, refused = 0, 0
        # A list made once, so that what fails again at once is not replayed again and again.
        keys = list(chosen.values_list("pk", flat=True))
        for start in range(0, len(keys), BATCH):
            batch = chosen.filter(pk__in=keys[start : start + BATCH])
            replayed = dead_letters.replay(batch)
            done += replayed.done
            refused += len(replayed.refused)
            for job, reason in replayed.refused:
                self.stderr.write(f"{job.uid}: {reason.code}: {reason.message}")
        self.stdout.write(f"replayed {done} jobs, {refused} refused")


def _chosen(code: str | None, since: datetime | None, subject: str | None) -> QuerySet[Job]:
    rows = dead_letters.replayable()
    if code:
        rows = rows.filter(error_code=code)
    if since:
        rows = rows.filter(finished_at__gte=since)
    if subject:
        rows = rows.filter(subject=subject)
    return rows
