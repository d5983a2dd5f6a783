"""`manage.py rotate_credential_keys`: everything sealed, sealed anew with the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from credentials import rotation
from credentials.sealing import newest_key_id

MOST_NAMED = 20


class Command(BaseCommand):
    help = (
        "Seal every secret in the database anew with the first of PIXERVE_CREDENTIAL_KEYS."
        " May be cut off at any time and begun again, and run beside a running server."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = rotation.rotate()
        self.stdout.write(f"sealed {done.resealed} anew with the key {newest_key_id()}")
        if not done.unreadable:
            return
        named = ", ".join(done.unreadable[:MOST_NAMED])
        more = " and more" if len(done.unreadable) > MOST_NAMED else ""
        raise CommandError(
            f"{len(done.unreadable)} cannot be read with any of PIXERVE_CREDENTIAL_KEYS and stay as"
            f" they are: {named}{more}"
        )
