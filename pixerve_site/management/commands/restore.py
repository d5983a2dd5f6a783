"""`manage.py restore SOURCE`: a backup comes back into an empty installation."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from delivery.errors import DeliveryError
from pixerve_site import restore
from pixerve_site.dumps import DumpError
from pixerve_site.first_run import MayNotMakeTables


class Command(BaseCommand):
    help = "Bring a backup back into an empty data and serve folder."
    requires_system_checks: list[str] = []  # they would look for the tables that are to come

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", type=Path, help="the folder that `backup` made")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = restore.bring_back(options["source"])
        except (restore.RestoreError, DumpError, MayNotMakeTables, DeliveryError, OSError) as error:
            raise CommandError(f"not restored: {error}") from None
        except DatabaseError as error:
            raise CommandError(f"not restored: {' '.join(str(error).split())}") from None
        self.stdout.write(f"restored what was there at {found.made_at}; now start the server")
        if found.files is None:
            self.stderr.write("warning: the backup has no hosted files; bring them back, too")
