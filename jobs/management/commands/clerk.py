"""`manage.py clerk`: callbacks, reaper and watchdog."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from jobs.clerk import Clerk


class Command(BaseCommand):
    help = "Send callbacks, return lost jobs and watch the workers, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        clerk = Clerk()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: clerk.stop())
        clerk.run()
