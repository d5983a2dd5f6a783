"""Readers of strangers' bytes, given millions of broken ones: they may refuse, never stumble.

A minute in all; ``make fuzz`` takes ten with a seed of its own. A failure names its input as
"seed/number": run it again with FUZZ_SEED=seed.
"""

import json
import time
from pathlib import Path

import pytest

from encoders.doublecheck import double_check
from encoders.errors import PictureError
from encoders.exif import ORIENTATIONS, orientation
from encoders.headers import tiff
from encoders.limits import Limits
from encoders.probe import probe
from encoders.reader import Reader
from encoders.sniff import MEDIA_TYPES, SNIFF_BYTES, sniff
from encoders.source import _BLOCKS
from jobs import spec
from jobs.errors import InvalidSpec
from tests.encoders import hostile
from tests.encoders.pictures import IMAGES
from tests.fuzz.mutation import chances, mutated, strange

SLOW_S = 2.0
"""CPU time that no header may take."""
SMALL = 40_000

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def seeds() -> list[bytes]:
    """Small pictures of every format, good and bad."""
    found = [path.read_bytes() for path in sorted(IMAGES.iterdir()) if path.suffix != ".csv"]
    found += [make() for make, _ in hostile.REFUSED.values()]
    return [data[:SMALL] if len(data) > 10 * SMALL else data for data in found]


def read(path: Path) -> str:
    """Everything of ours that reads a file beside its decoder; what it was taken for."""
    try:
        header = probe(path)
        Limits().check(header)
        double_check(path, header, Limits())
        if header.format == "tiff" and header.orientation != 1:
            with path.open("rb") as file:
                tiff.upright_patch(Reader(file, path.stat().st_size))
        if header.format in _BLOCKS:
            with path.open("rb") as file:
                _BLOCKS[header.format](Reader(file, path.stat().st_size))
    except PictureError as error:
        return error.code
    return header.format


def test_header_parsers_only_refuse(seeds: list[bytes], tmp_path: Path) -> None:
    path, ends = tmp_path / "picture", set()
    for name, chance in chances():
        path.write_bytes(mutated(chance.choice(seeds), seeds, chance))
        started = time.thread_time()
        try:
            ends.add(read(path))
        except Exception as error:
            kept = Path(path.replace(tmp_path.parent / "finding"))
            raise AssertionError(f"input {name}, kept as {kept}") from error
        assert time.thread_time() - started < SLOW_S, f"input {name} is slow"
    assert MEDIA_TYPES.keys() | {"damaged_picture", "unsupported_type", "empty_picture"} <= ends


def test_sniffer_and_exif_take_any_bytes(seeds: list[bytes]) -> None:
    heads = [seed[:SNIFF_BYTES] for seed in seeds]
    blocks = [seed[at : at + 400] for seed in seeds if (at := seed.find(b"Exif")) >= 0]
    for name, chance in chances():
        head = mutated(chance.choice(heads), heads, chance)
        block = mutated(chance.choice(blocks), blocks, chance)
        assert sniff(head) in {None, *MEDIA_TYPES}, name
        assert orientation(block) in ORIENTATIONS, name


JOB = {
    "completionCallback": "https://app.example/webhook",
    "callbackHeaders": {"Authorization": "Bearer x"},
    "priority": 0,
    "keepOriginal": False,
    "formats": {
        "jpg": {"settings": {"quality": 80, "speed": 1}, "sizes": [[800, 600], [400]]},
        "webp": {"settings": {"quality": 85}},
    },
    "directHost": True,
    "subDir": "tenant-123",
}


def test_the_spec_only_refuses() -> None:
    ends = set()
    for name, chance in chances():
        job = strange(JOB, chance)
        try:
            accepted = spec.parse(job)
            again = spec.load(json.loads(json.dumps(accepted.as_sent())))
            assert again.as_sent() == accepted.as_sent(), name
            ends.add("accepted")
        except InvalidSpec as refusal:
            ends.add("refused" if refusal.field else f"refused {name} without a field")
        except Exception as error:
            raise AssertionError(f"input {name}: {job!r}"[:2000]) from error
    assert ends == {"accepted", "refused"}
