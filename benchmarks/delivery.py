"""What a delivery to S3 costs beside boto3's own put_object: CPU per object.

    python -m benchmarks.delivery [--objects 200] [--bytes 60000]

Both talk to the same Ceph gateway in this process, in alternating rounds: one object by
`put_object` of a boto3 client with its default settings, one by a Store's `put`, which beyond the
upload checks the file against its SHA-256, signs the whole body and has the store confirm size and
checksum. Prints milliseconds of this process's CPU (user and system) per object.
"""

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from delivery import backends
from delivery.addresses import AddressPolicy
from delivery.destination import Destination
from tests.peers import ceph

BUCKET = "benchmark"
ROUND = 20
TARGET_MS = 10.0


def cpu_ms(call: Callable[[int], None]) -> float:
    """CPU per object of one round, in milliseconds."""
    before = time.process_time()
    for number in range(ROUND):
        call(number)
    return (time.process_time() - before) * 1000 / ROUND


def client(gateway: ceph.Ceph) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )


def destination(gateway: ceph.Ceph) -> Destination:
    options = {
        "endpoint": gateway.endpoint,
        "bucket": BUCKET,
        "access_key_id": gateway.access_key,
    }
    secret = {"secret_access_key": gateway.secret_key}
    return Destination("s3", "benchmark", options, secret, False, "1")


def compare(gateway: ceph.Ceph, source: Path, rounds: int) -> tuple[list[float], list[float]]:
    """CPU per object of each round: boto3's, ours."""
    plain = client(gateway)
    plain.create_bucket(Bucket=BUCKET)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    with backends.load("s3").open(destination(gateway), AddressPolicy()) as store:

        def theirs(number: int) -> None:
            with source.open("rb") as file:
                plain.put_object(
                    Bucket=BUCKET,
                    Key=f"boto3/{number}.webp",
                    Body=file,
                    ContentType="image/webp",
                    CacheControl="max-age=60",
                )

        def ours(number: int) -> None:
            store.put(
                f"ours/{number}.webp",
                source,
                media_type="image/webp",
                cache_control="max-age=60",
                sha256=sha256,
            )

        for warm in (theirs, ours):
            cpu_ms(warm)
        pairs = [(cpu_ms(theirs), cpu_ms(ours)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=60_000)
    options = parser.parse_args()
    if reason := ceph.missing():
        print(f"no Ceph here ({reason}): make test installs it")
        return
    with tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder:
        source = Path(folder) / "rendition"
        source.write_bytes(os.urandom(options.bytes))
        place = Path(folder) / "ceph"
        place.mkdir()
        with ceph.running(place) as gateway:
            theirs, ours = compare(gateway, source, max(1, options.objects // ROUND))
    theirs_ms, ours_ms = statistics.median(theirs), statistics.median(ours)
    print(f"{len(ours) * ROUND} objects of {options.bytes} bytes each, CPU per object, ms (median)")
    print(f"  boto3 put_object {theirs_ms:.2f}, Pixerve's put {ours_ms:.2f}")
    print(f"  overhead {ours_ms - theirs_ms:.2f} (target: at most {TARGET_MS:g})")


if __name__ == "__main__":
    main()
