"""Every real picture over HTTP: the good ones come out right, the bad ones end with a reason."""

import csv
import io
from typing import Any

import pytest
from PIL import Image

from tests.acceptance.evidence import SMALL, another
from tests.server import IMAGES, Pixerve, make_token

with (IMAGES / "manifest.csv").open(newline="", encoding="utf-8") as _manifest:
    PICTURES = list(csv.DictReader(_manifest))
GOOD = [row for row in PICTURES if row["expected"] == "ok"]
BAD = [row for row in PICTURES if row["expected"] == "reject"]
SIDE = 48
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF"}
JOB: dict[str, Any] = {
    "formats": {name: {"settings": {"speed": 10}, "sizes": [[SIDE]]} for name in FORMATS},
    "directHost": True,
}
ORIENTATION = 274
# What each damaged picture must be refused for: the code at the door or of the failed job.
REASONS = {
    "pil_truncated_jpeg.jpg": {"damaged_picture"},
    "pil_broken_data_stream.png": {"damaged_picture"},
    "pst_xhdn0g08.png": {"damaged_picture"},
    "pst_xdtn0g01.png": {"damaged_picture"},
    "pst_xs1n0g01.png": {"unsupported_type"},
    "pil_decompression_bomb.gif": {"damaged_picture"},
    "thu_16384x16384.png": {"too_many_pixels"},
    "gif_issue-101-infinite-empty-loop.gif": {"damaged_picture"},
    "thu_image_invalid.jpg": {"unsupported_type"},
    "imp_test1.svg": {"unsupported_type"},
}


def name_of(row: dict[str, str]) -> str:
    return row["file"]


def upright_in_box(row: dict[str, str]) -> tuple[int, int]:
    """The upright size fitted into SIDE x SIDE, never enlarged."""
    width, height = map(int, row["upright"].split("x"))
    scale = min(1.0, SIDE / width, SIDE / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def check_plain(picture: Image.Image) -> None:
    """Upright, sRGB, and no word about where it came from."""
    assert picture.getexif().get(ORIENTATION, 1) == 1
    assert not picture.getexif()
    assert picture.mode in {"RGB", "RGBA", "L", "LA", "P", "1"}
    assert not {"icc_profile", "xmp", "exif", "comment", "photoshop"} & picture.info.keys()


@pytest.mark.parametrize("row", GOOD, ids=name_of)
def test_a_good_picture_comes_out_right(server: Pixerve, row: dict[str, str]) -> None:
    token = make_token(JOB, subject="pictures")
    answer = server.upload((IMAGES / row["file"]).read_bytes(), token, name=row["file"])
    assert answer.status == 202, answer.body

    end = server.wait_end(answer.json()["hash"], token)

    assert end["state"] == "completed", end
    assert [file["format"] for file in end["files"]] == list(FORMATS)
    for file in end["files"]:
        got = server.get(file["url"].removeprefix(server.url))
        with Image.open(io.BytesIO(got.body)) as picture:
            picture.load()
            assert picture.format == FORMATS[file["format"]]
            assert picture.size == upright_in_box(row) == (file["width"], file["height"])
            check_plain(picture)


@pytest.mark.parametrize("row", BAD, ids=name_of)
def test_a_bad_picture_ends_with_a_reason_and_the_next_one_is_made(
    server: Pixerve, row: dict[str, str]
) -> None:
    token = make_token(JOB, subject="pictures")
    answer = server.upload((IMAGES / row["file"]).read_bytes(), token, name=row["file"])

    if answer.status == 202:
        end = server.wait_end(answer.json()["hash"], token)
        assert end["state"] == "failed", end
        code, reason = end["error"]["code"], end["error"]["message"]
    else:
        assert answer.status in {400, 415}
        assert answer.headers["Content-Type"] == "application/problem+json"
        code, reason = answer.json()["code"], answer.json()["detail"]
    assert code in REASONS[row["file"]]
    assert len(reason.split()) > 3

    next_one = server.upload(another(SMALL, f"after {row['file']}"), token)
    assert server.wait_end(next_one.json()["hash"], token)["state"] == "completed"


def test_every_bad_picture_has_its_reason_here() -> None:
    assert {row["file"] for row in BAD} == REASONS.keys()
