"""`manage.py issue_token --sub alice --spec job.json`: an upload token on standard output."""

import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import intake, spec, tokens
from jobs.errors import Refused


class Command(BaseCommand):
    help = "Make an upload token. The spec is checked as an upload would check it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sub", required=True, help="the subject, owner of the jobs")
        parser.add_argument(
            "--spec",
            help="a JSON file with the `job` (or a whole payload with a `job` in it); - is standard"
            " input; without it the token may look at jobs, not upload",
        )
        parser.add_argument("--lifetime", type=int, default=3600, help="seconds (default 3600)")

    def handle(self, *args: Any, **options: Any) -> None:
        longest = settings.PIXERVE.jwt_max_lifetime
        if not 1 <= options["lifetime"] <= longest:
            raise CommandError(f"--lifetime must be from 1 to {longest} seconds")
        job = self._job(options["spec"]) if options["spec"] else None
        try:
            if job is not None:
                intake.check_destinations(spec.parse(job), options["sub"])
            token = tokens.issue(options["sub"], job, lifetime_s=options["lifetime"])
            tokens.verify(token)
        except (Refused, tokens.KeyConfigError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(token)

    def _job(self, name: str) -> Any:
        try:
            text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
            found = json.loads(text)
        except (OSError, ValueError) as error:
            raise CommandError(f"--spec: {error}") from None
        return found["job"] if isinstance(found, dict) and "job" in found else found
