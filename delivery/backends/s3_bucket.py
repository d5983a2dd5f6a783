"""A bucket that is used as a folder: what S3Store does not need to deliver, but a house needs.

Keys are as in S3Store, below the prefix of the options. One bucket is for one thread at a time.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from delivery.addresses import AddressPolicy
from delivery.backends.base import read_options
from delivery.backends.errors import ChecksumMismatch
from delivery.backends.s3 import S3Options, meaning
from delivery.backends.s3_store import SHA256_NAME, S3Store
from delivery.backends.wire import wire_of
from delivery.destination import Destination

_BLOCK = 1 << 18
PAGE = 1000  # keys in one answer of a listing, and in one DeleteObjects; S3 knows no more


@dataclass(frozen=True)
class Entry:
    """One object of a listing, or one unfinished upload: its key and when it was begun."""

    key: str
    modified: datetime
    size: int = 0


class Body:
    """The bytes of an object while they come in; ``size`` is that of the whole object.

    ``whole`` says whether all of it comes. ``close`` it before the bucket does anything else.
    """

    def __init__(self, answer: Any) -> None:
        self._stream = answer["Body"]
        told = str(answer.get("ContentRange", "")).rpartition("/")[2]
        self.whole = not told
        self.size = int(told or answer["ContentLength"])
        self.sha256: str = answer["Metadata"].get(SHA256_NAME, "")
        self.media_type: str = answer["ContentType"]
        self.modified: datetime = answer["LastModified"]

    def read(self, size: int = _BLOCK) -> bytes:
        """Up to so many bytes; b"" at the end. Raises OSError or urllib3's HTTPError."""
        found: bytes = self._stream.read(size)
        return found

    def close(self) -> None:
        self._stream.close()


class Bucket(S3Store):
    """Every call raises DeliveryError."""

    def fetch(self, key: str, target: Path, *, sha256: str = "") -> None:
        """Bring an object to ``target``, whole or not at all, with the SHA-256 if one is given.

        Raises NoObject, ChecksumMismatch.
        """
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
        try:
            size = self.size(key)
            with self._asking(size):
                found = self._save(self._name(key), temporary)
            if sha256 and found != sha256:
                raise ChecksumMismatch("the bucket gives other bytes than it was sent")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _save(self, name: str, path: Path) -> str:
        digest = hashlib.sha256()
        body = Body(self._get(name))
        try:
            with path.open("xb") as file:
                while block := body.read():
                    digest.update(block)
                    file.write(block)
        finally:
            body.close()
        return digest.hexdigest()

    def size(self, key: str) -> int:
        """Bytes of an object. Raises NoObject."""
        with self._asking():
            head = self._client.head_object(Bucket=self._options.bucket, Key=self._name(key))
        return int(head["ContentLength"])

    def open(self, key: str, first: int = 0, last: int | None = None) -> Body:
        """An object from byte ``first`` to ``last``, both included. Raises NoObject."""
        wanted = f"bytes={first}-{'' if last is None else last}"
        ranged = {} if first == 0 and last is None else {"Range": wanted}
        target = {"Bucket": self._options.bucket, "Key": self._name(key)}
        with self._asking():
            return Body(self._client.get_object(**target, **ranged))

    def link(self, key: str, *, expires_s: int, **headers: str) -> str:
        """A signed URL; ``headers`` are sent with the object, by the names of GetObject."""
        target = {"Bucket": self._options.bucket, "Key": self._name(key)}
        given = {f"Response{name}": value for name, value in headers.items()}
        signed: str = self._client.generate_presigned_url(
            "get_object", Params=target | given, ExpiresIn=expires_s
        )
        return signed

    def entries(self, folder: str) -> Iterator[Entry]:
        """Every object below ``folder``."""
        pages = self._pages("list_objects_v2", folder)
        for each in pages("Contents"):
            yield Entry(self._key(each["Key"]), each["LastModified"], each["Size"])

    def delete_all(self, keys: Iterable[str]) -> int:
        """Remove objects; those that are not there are no error. Returns how many were named."""
        names = [{"Key": self._name(key)} for key in keys]
        for start in range(0, len(names), PAGE):
            batch = {"Objects": names[start : start + PAGE], "Quiet": True}
            with self._asking():
                answer = self._client.delete_objects(Bucket=self._options.bucket, Delete=batch)
            for each in answer.get("Errors", ()):
                raise meaning(each["Code"], 200, None, self._options)
        return len(names)

    def abort_unfinished(self, folder: str, stale: Callable[[Entry], bool]) -> int:
        """Give up the unfinished uploads below ``folder`` that are ``stale``; how many."""
        found = list(self._pages("list_multipart_uploads", folder)("Uploads"))
        old = [each for each in found if stale(Entry(self._key(each["Key"]), each["Initiated"]))]
        for each in old:
            target = {"Key": each["Key"], "UploadId": each["UploadId"]}
            with self._asking():
                self._client.abort_multipart_upload(Bucket=self._options.bucket, **target)
        return len(old)

    def _pages(self, operation: str, folder: str) -> Callable[[str], Iterator[Any]]:
        """Asked page by page, so that each has the time of an operation."""

        def items(name: str) -> Iterator[Any]:
            asked = {
                "Bucket": self._options.bucket,
                "Prefix": self._name(folder) + "/",
                "PaginationConfig": {"PageSize": PAGE},
            }
            pages = iter(self._client.get_paginator(operation).paginate(**asked))
            while True:
                with self._asking():
                    page = next(pages, None)
                if page is None:
                    return
                yield from page.get(name, ())

        return items

    def _key(self, name: str) -> str:
        prefix = self._options.prefix
        return name.removeprefix(f"{prefix}/") if prefix else name


def open_bucket(destination: Destination) -> Bucket:
    """The operator's own bucket: nobody judges its address. Raises BadOptions."""
    options = read_options(S3Options, destination)
    return Bucket(options, wire_of(destination, AddressPolicy(), options.timeout_s))
