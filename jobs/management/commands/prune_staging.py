"""`manage.py prune_staging [--dry-run]`: remove what no job needs from staging, here and in the
bucket."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from jobs import bucket_sweep, retention


class Command(BaseCommand):
    help = "Remove orphaned staging folders and half-written hosted files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")
        parser.add_argument(
            "--min-age",
            type=int,
            default=retention.ORPHAN_AGE_S,
            help="seconds since the folder was last changed (default %(default)s); a younger one"
            " may belong to an upload that is still coming in",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        how = {"dry_run": options["dry_run"], "min_age_s": float(options["min_age"])}
        count = retention.prune_staging(**how) + bucket_sweep.sweep(**how)
        verb = "would remove" if options["dry_run"] else "removed"
        self.stdout.write(f"{verb} {count} orphaned staging folders")
