"""`manage.py prune_jobs [--dry-run]`: what the daily schedule does to records, by hand."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs import retention


class Command(BaseCommand):
    help = "Remove records past PIXERVE_RETENTION_DAYS and kept sources of failed jobs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        pruned = retention.prune_jobs(dry_run=options["dry_run"])
        verb = "would remove" if options["dry_run"] else "removed"
        self.stdout.write(
            f"{verb} {pruned.jobs} jobs, {pruned.sources} kept sources,"
            f" {pruned.references} unused references"
        )
