"""From a token's storage key to a place to deliver to."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from credentials import secret
from credentials.errors import UnknownCredential
from credentials.models import Credential, by_key
from credentials.sealing import Unreadable
from delivery.destination import Destination

__all__ = ["UnknownCredential", "Unreadable", "destination", "require", "resolve"]

# A busy credential is used many times a second; who looks at it cares for minutes.
USE_NOTED_EVERY = timedelta(minutes=1)


def _find(kind: str, key: str, subject: str) -> Credential:
    """Foreign ones are as unknown as those that do not exist: nobody learns others' keys."""
    found = by_key(key).filter(type=kind, owner__in=["", subject]).first()
    if found is None:
        raise UnknownCredential(
            f"no {kind} credential with the key {key!r} is registered for {subject!r}"
        )
    return found


def require(kind: str, key: str, *, subject: str) -> None:
    """Raise UnknownCredential unless `subject` may deliver with the credential `key` of `kind`."""
    _find(kind, key, subject)


def resolve(kind: str, key: str, *, subject: str) -> Destination:
    """The place that `subject` may deliver to. Raises UnknownCredential, Unreadable."""
    found = _find(kind, key, subject)
    ready = destination(found)
    _note_use(found, timezone.now())
    return ready


def destination(credential: Credential) -> Destination:
    """All that it takes to open it, the secret included. Raises Unreadable."""
    return Destination(
        type=credential.type,
        key=credential.key,
        options=credential.options,
        secret=secret.take(credential),
        guarded=credential.owner != "",
        version=f"{credential.pk}.{credential.revision}",
        local_roots=settings.PIXERVE.local_roots,
    )


def _note_use(credential: Credential, now: datetime) -> None:
    before = now - USE_NOTED_EVERY
    if credential.last_used_at and credential.last_used_at > before:
        return
    rows = Credential.objects.filter(pk=credential.pk)
    rows.filter(Q(last_used_at=None) | Q(last_used_at__lte=before)).update(last_used_at=now)
