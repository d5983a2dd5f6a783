"""`manage.py prune_staging [--dry-run]`: remove what no job needs from staging, here and in the
bucket."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs import bucket_sweep, sweeping


class Command(BaseCommand):
    help = "Remove orphaned staging folders and half-written hosted files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--min-age",
            type=int,
            default=sweeping.ORPHAN_AGE_S,
            help="seconds since a folder on this host was last changed (default %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        count = sweeping.prune_staging(dry_run=dry_run, min_age_s=float(options["min_age"]))
        count += bucket_sweep.sweep(dry_run=dry_run)
        verb = "would remove" if options["dry_run"] else "removed"
        self.stdout.write(f"{verb} {count} orphaned staging folders")
