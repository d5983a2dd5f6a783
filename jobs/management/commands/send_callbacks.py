"""`manage.py send_callbacks`: let the clerk send callbacks now, once more where they were sent."""

import uuid
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from jobs import callbacks
from jobs.models import Callback, CallbackState


def _moment(text: str) -> datetime:
    """Raises ValueError."""
    moment = parse_datetime(text)
    if moment is None:
        raise ValueError("no time")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Send callbacks now, under their old webhook-id, with all attempts before them. Without an"
        " option: those that wait for their next attempt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--event-id", type=uuid.UUID, metavar="UUID", help="the callback with this webhook-id"
        )
        parser.add_argument(
            "--since",
            type=_moment,
            metavar="TIME",
            help="all of events since then, sent ones too, like 2026-11-21T08:00:00Z",
        )
        parser.add_argument("--given-up", action="store_true", help="those that were given up")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = _chosen(**{key: options[key] for key in ("event_id", "since", "given_up")})
        if options["event_id"] and not rows.exists():
            raise CommandError(f"there is no callback with the id {options['event_id']}")
        count = callbacks.replay(rows)
        self.stdout.write(f"{count} callbacks are due now; the clerk sends them")


def _chosen(
    event_id: uuid.UUID | None, since: datetime | None, given_up: bool
) -> QuerySet[Callback]:
    """Those that all given options choose."""
    rows = Callback.objects.all()
    if event_id:
        rows = rows.filter(event__message_id=event_id)
    if since:
        rows = rows.filter(event__at__gte=since)
    if given_up:
        rows = rows.filter(state=CallbackState.GIVEN_UP)
    if not (event_id or since or given_up):
        rows = rows.filter(state=CallbackState.WAITING)
    return rows
