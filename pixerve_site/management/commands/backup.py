"""`manage.py backup TARGET`: a copy of everything, made beside the running server."""

import sqlite3
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from delivery.errors import DeliveryError
from pixerve_site import backup
from pixerve_site.dumps import DumpError


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
        try:
            made = backup.make(options["target"], with_files=not options["without_files"])
        except (backup.BackupError, DumpError, DeliveryError, OSError) as error:
            raise CommandError(f"no backup: {error}") from None
        except (sqlite3.Error, DatabaseError) as error:
            raise CommandError(f"no backup: {' '.join(str(error).split())}") from None
        files = "no" if made.files is None else made.files
        what = f"uploads of {made.jobs} jobs, {files} hosted files"
        self.stdout.write(f"{options['target']}: what was there at {made.made_at}, {what}")
        if made.missing:
            self.stderr.write(f"warning: {made.missing} of these jobs have no upload in staging")
        for name in sorted(set(backup.KEYS) - set(made.keys)):
            self.stderr.write(f"warning: {name} is not in the data folder; keep that key yourself")
