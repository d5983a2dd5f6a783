"""Where the outputs of a job are fetched: hosted files, and objects in storages.

A private file's link holds its end and a signature. Whoever has the link may fetch the file until
then; nothing is stored, so all processes with one SECRET_KEY agree.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings

from credentials import resolver
from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.errors import DeliveryError
from jobs.models import Delivery, DeliveryState, HostedFile, Job

SIGNED_FOR_S = 3600  # of objects in private buckets


class BadLink(Exception):
    """The link is not signed, was changed, or is past its end (`expired`)."""

    def __init__(self, expired: bool = False) -> None:
        super().__init__(expired)
        self.expired = expired


@lru_cache(maxsize=4)
def _key(secret_key: str) -> bytes:
    return hmac.digest(secret_key.encode(), b"pixerve private links", "sha256")


def _signature(path: str, expires: str) -> str:
    text = f"{expires}\n{path}".encode()
    return hmac.new(_key(settings.SECRET_KEY), text, hashlib.sha256).hexdigest()


def file_url(path: str, *, private: bool = False) -> str:
    """Where a hosted path is fetched from; a private one until the link's end."""
    url = f"{settings.PIXERVE.base_url}/files/{quote(path)}"
    return url + query(path) if private else url


def query(path: str) -> str:
    """What makes the URL of a private file work until its end: `?expires=…&signature=…`."""
    expires = str(int(time.time()) + settings.PIXERVE.private_link_lifetime)
    return "?" + urlencode({"expires": expires, "signature": _signature(path, expires)})


def check(path: str, given: Mapping[str, str]) -> None:
    """Raises BadLink unless `given` is what `query` made for this path."""
    expires, signature = given.get("expires", ""), given.get("signature", "")
    good = _signature(path, expires)
    if not hmac.compare_digest(signature.encode(), good.encode()):
        raise BadLink
    if int(expires) < time.time():
        raise BadLink(expired=True)


def hosted_url(hosted: HostedFile | None, *, signed: bool) -> str | None:
    """The link of a file; None where it is not there, or private and not for this reader."""
    if hosted is None or (hosted.private and not signed):
        return None
    return file_url(hosted.path, private=hosted.private)


def object_urls(job: Job, found: Iterable[Delivery], *, signed: bool) -> dict[int, str | None]:
    """Links to what was delivered, by the deliveries' ids.

    Lasting ones where the credential says that anybody may fetch; else signed ones, for those who
    may have them.
    """
    by_key: dict[str, list[Delivery]] = {}
    for each in found:
        if each.state == DeliveryState.DELIVERED:
            by_key.setdefault(each.credential_key, []).append(each)
    urls: dict[int, str | None] = {}
    for rows in by_key.values():
        urls |= _urls_of_one(job, rows, signed=signed)
    return urls


def _urls_of_one(job: Job, rows: list[Delivery], *, signed: bool) -> dict[int, str | None]:
    """For the deliveries to one storage, which is opened for signing only, without a connection."""
    lasting = {each.pk: each.url or None for each in rows}
    kind, key = rows[0].credential_type, rows[0].credential_key
    try:
        place = resolver.resolve(kind, key, subject=job.subject)
        if is_public(place.options):
            return lasting
        if not signed:
            return dict.fromkeys(lasting)
        policy = AddressPolicy(settings.PIXERVE.callback_allow_private)
        with backends.load(kind).open(place, policy) as store:
            return {each.pk: store.url(each.rendition.key, expires_s=SIGNED_FOR_S) for each in rows}
    except (resolver.UnknownCredential, resolver.Unreadable, DeliveryError):
        return dict.fromkeys(lasting)


def is_public(options: Mapping[str, Any]) -> bool:
    """Whether the options say that anybody may fetch the objects."""
    acl = str(options.get("acl") or "").lower().replace("-", "")
    return bool(options.get("public_url")) or acl.startswith("publicread")
