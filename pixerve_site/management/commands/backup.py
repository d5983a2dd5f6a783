"""`manage.py backup TARGET`: a copy of everything, made beside the running server."""

import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from pixerve_site import backup


class Command(BaseCommand):
    help = "Copy keys, database, staging and hosted files into an empty folder."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("target", type=Path, help="a folder that is empty or does not exist")
        parser.add_argument(
            "--without-files",
            action="store_true",
            help="leave out the hosted files, where something else copies the serve folder",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "sqlite":
            raise CommandError("only for SQLite; docs/deploy.md says how with PostgreSQL")
        try:
            made = backup.make(options["target"], with_files=not options["without_files"])
        except (backup.BackupError, OSError, sqlite3.Error) as error:
            raise CommandError(f"no backup: {error}") from None
        files = "no" if made.files is None else made.files
        what = f"uploads of {made.jobs} jobs, {files} hosted files"
        self.stdout.write(f"{options['target']}: what was there at {made.made_at}, {what}")
        if made.missing:
            self.stderr.write(f"warning: {made.missing} of these jobs have no upload in staging")
        for name in sorted(set(backup.KEYS) - set(made.keys)):
            self.stderr.write(f"warning: {name} is not in the data folder; keep that key yourself")
