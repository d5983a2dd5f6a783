"""`manage.py cluster`: the workers of this host, as a django-q2 cluster."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs import cluster


class Command(BaseCommand):
    help = "Run the workers of this host (a django-q2 cluster) until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        cluster.run()
