"""Measure each part alone until it can do no more: the figures of docs/scale.md.

    python -m benchmarks.saturation [--parts web claims …] [--scale 0.1]

The server has one core to itself and the client the other one; PostgreSQL, Redis and Ceph run on
either. `--scale` makes all of it shorter, for a look.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.saturation import bucket, callbacks, claims, records, rings, web

PARTS = {
    "web": web.main,
    "claims": claims.main,
    "rings": rings.main,
    "callbacks": callbacks.main,
    "bucket": bucket.main,
    "records": records.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.saturation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    for part in options.parts:
        with tempfile.TemporaryDirectory(prefix="pixerve-bench-") as folder:
            PARTS[part](Path(folder), options.scale)


if __name__ == "__main__":
    main()
