"""``local``: a folder of this machine, below one of the operator's PIXERVE_LOCAL_ROOTS."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated

from pydantic import Field

from delivery.addresses import AddressPolicy
from delivery.backends.base import (
    HttpUrl,
    OpenStore,
    Options,
    Stored,
    check_source,
    line,
    object_name,
    public,
    read_options,
)
from delivery.backends.errors import (
    AccessDenied,
    BadOptions,
    ChecksumMismatch,
    InTheWay,
    NoObject,
    StoreFull,
    StoreUnavailable,
)
from delivery.backends.probe import round_trip
from delivery.destination import Destination
from delivery.errors import DeliveryError, HostingFailed, NotHosted
from delivery.hosting import HostedRoot


class LocalOptions(Options):
    """The folder, and where a web server of the operator's shows it."""

    root: Annotated[str, line(r"^/[^\x00-\x1f\x7f]*$", longest=1024)] = Field(
        title="Folder",
        description="An absolute path, PIXERVE_LOCAL_ROOTS names it or a folder above it.",
    )
    public_url: HttpUrl | None = Field(
        None, title="Public URL", description="Where the folder's files can be fetched."
    )


class Local:
    """Folders of this machine."""

    type = "local"
    options_model = LocalOptions

    def open(self, destination: Destination, policy: AddressPolicy) -> "LocalStore":
        """Raises BadOptions for a folder outside the allowed ones."""
        options = read_options(LocalOptions, destination)
        return LocalStore(_allowed(Path(options.root), destination.local_roots), options.public_url)


def _allowed(folder: Path, roots: tuple[Path, ...]) -> Path:
    """The folder, symbolic links resolved, so that none leads out of the allowed ones."""
    found = folder.resolve()
    if not any(found.is_relative_to(root.resolve()) for root in roots):
        raise BadOptions("root is not below a folder that PIXERVE_LOCAL_ROOTS names")
    return found


class LocalStore(OpenStore):
    """Files below one folder; each appears whole or not at all."""

    def __init__(self, root: Path, public_url: str | None) -> None:
        self._root = HostedRoot(root)
        self._public_url = public_url

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        """Both kinds of metadata are the web server's business, a folder keeps none."""
        with _in_words():
            with source.open("rb") as file:
                check_source(_sha256(file), sha256)
            placed = self._root.publish(source, key)
            with self._root.open(key) as handle:
                found = _sha256(handle.file)
        if found != sha256:
            self.delete(key)
            raise ChecksumMismatch("the folder has other bytes than it was given")
        return Stored(placed.size, f"sha256:{found}", self.url(key, expires_s=None))

    def read(self, key: str, limit: int) -> bytes:
        with _in_words(), self._root.open(key) as handle:
            return handle.file.read(limit)

    def clean(self, key: str, size: int) -> None:
        with _in_words():
            self._root.clean(key)

    def delete(self, key: str) -> None:
        with _in_words():
            self._root.remove(key)

    def exists(self, key: str) -> bool:
        try:
            with _in_words(), self._root.open(key):
                return True
        except NoObject:
            return False

    def url(self, key: str, *, expires_s: int | None) -> str | None:
        return public(self._public_url, object_name(None, key)) if expires_s is None else None

    def probe(self) -> None:
        round_trip(self)


def _sha256(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()


_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_IN_THE_WAY = frozenset({errno.EEXIST, errno.ENOTDIR})


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except NotHosted:
        raise NoObject from None
    except HostingFailed as error:
        cause = error.__cause__
        raise _meaning(cause if isinstance(cause, OSError) else None, error.message) from None
    except OSError as error:
        raise _meaning(error, error.strerror or type(error).__name__) from None


def _meaning(error: OSError | None, reason: str) -> DeliveryError:
    number = error.errno if error else None
    if number in _REFUSED:
        return AccessDenied(f"{reason}; let the server's user write into the folder")
    if number in _FULL:
        return StoreFull(f"{reason}; make room in the folder's file system")
    if number in _IN_THE_WAY:
        return InTheWay("a file stands where a folder should be; move it away, or correct root")
    return StoreUnavailable(reason)
