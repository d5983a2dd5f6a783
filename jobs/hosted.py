"""Putting and removing files below `/files/`: in the serve folder, or in the bucket of all hosts.

In the folder the file counts, and its row is made anew where it says something else. In the bucket
the row says whether there is a file: it is made before the object appears, without a checksum, and
removed with it, so that no object can be there without anybody knowing.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from django.conf import settings

from delivery.carrier import Parcel
from delivery.hosting import HostedRoot, check_path
from jobs import bucket
from jobs.outcomes import Published


def root() -> HostedRoot:
    """The serve folder."""
    return HostedRoot(Path(settings.PIXERVE.serve_dir))


def key(path: str) -> str:
    """A hosted file's key in the bucket."""
    return f"{bucket.HOSTED}/{path}"


def publish(
    wanted: Sequence[Published], made_in: Path, beat: Callable[[], None], *, again: bool
) -> list[Published]:
    """Let the files of these names in `made_in` appear at their paths; as they lie there then.

    All are of one folder. `again` says that somebody may have been killed while he did the same.
    Raises DeliveryError, and what `beat` raises.
    """
    if bucket.in_use():
        return _publish_there(wanted, made_in, beat)
    sub_dir = wanted[0].key.rpartition("/")[0] if wanted else ""
    if again:
        clean([each.key for each in wanted])
    sources = {_name(each): made_in / _name(each) for each in wanted}
    placed = root().publish_all(sub_dir, sources, on_each=beat)
    return [each.at(placed[_name(each)].size, placed[_name(each)].mtime_ns) for each in wanted]


def clean(keys: Sequence[str]) -> None:
    """Remove what killed publishes of these, of one folder, left half. Raises DeliveryError."""
    folder = keys[0].rpartition("/")[0] if keys else ""
    root().clean_all(folder, [key.rpartition("/")[2] for key in keys])


def _name(published: Published) -> str:
    return published.key.rpartition("/")[2]


def _publish_there(
    wanted: Sequence[Published], made_in: Path, beat: Callable[[], None]
) -> list[Published]:
    to = bucket.destination()
    parcels = []
    for each in wanted:
        check_path(each.key)
        path = made_in / _name(each)
        size, sha256 = each.bytes, each.sha256
        parcels.append(Parcel(0, to, key(each.key), path, size, sha256, each.media_type))
    bucket.put_all(parcels, beat)
    return [each.at(each.bytes, time.time_ns()) for each in wanted]


def remove(path: str) -> None:
    """Remove a file; none is fine. Raises DeliveryError."""
    if not bucket.in_use():
        root().remove(path)
        return
    with bucket.opened() as opened:
        opened.delete(key(path))
