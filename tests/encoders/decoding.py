"""Decodes many files in one process, away from the tests: ``python -m tests.encoders.decoding``.

Arguments: a folder for temporary files, the longest side that is wanted (0: native size). Reads
paths from standard input; answers each by one line of JSON: the error's code and message, or the
pixels' file.
"""

import json
import sys
from pathlib import Path

from encoders.errors import PictureError
from encoders.library import load_decoders


def decode(path: Path, work_dir: Path, side: int) -> dict[str, str]:
    from encoders.color import to_srgb
    from encoders.probe import probe
    from encoders.source import open_source

    try:
        header = probe(path)
        largest = (side, side) if side else header.upright
        source = open_source(path, header, largest, work_dir)
        image, _ = to_srgb(next(iter(source.frames)).image, source.profile)
    except PictureError as error:
        return {"code": error.code, "message": error.message}
    out = path.with_name(path.name + ".png")
    image.save(out, "PNG", compress_level=0)
    return {"pixels": str(out)}


def main() -> None:
    load_decoders()
    for line in sys.stdin:
        answer = decode(Path(line.strip()), Path(sys.argv[1]), int(sys.argv[2]))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
