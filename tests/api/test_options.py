"""What a token can ask for, from the upload to the file that is served."""

import io
from typing import Any

import pytest
from PIL import Image, ImageOps

from tests.api.caller import Api, assert_problem, nothing_stored, upload_token
from tests.jobs.specs import EVERYTHING, HOST, wrong_looks
from tests.server import IMAGES

PHOTO = (IMAGES / "wil_people.jpg").read_bytes()


def framed() -> bytes:
    """The photo with a white border."""
    picture = ImageOps.expand(Image.open(io.BytesIO(PHOTO)), 40, "white")
    made = io.BytesIO()
    picture.save(made, "PNG")
    return made.getvalue()


def served(api: Api, formats: dict[str, Any], photo: bytes = PHOTO) -> dict[str, Any]:
    """Upload a photo; the part of each file's name that tells it apart → the file."""
    token = upload_token({"formats": formats, **HOST})
    reference = api.finished(photo, name="photo.jpg", token=token)
    status = api.get(f"/status?hash={reference}", token=token).json()
    assert status["state"] == "completed", status
    found: dict[str, Any] = {}
    for made in status["files"]:
        image = Image.open(io.BytesIO(api.get(f"/files/{made['name']}").body))
        assert image.size == (made["width"], made["height"])
        found[made["name"].removeprefix(f"{reference}_photo")] = image
    found["warnings"] = [each["code"] for each in status["warnings"]]
    return found


def test_a_token_with_every_option(api: Api) -> None:
    token = upload_token(EVERYTHING)
    answer = api.upload(PHOTO, name="photo.jpg", token=token).json()
    endings = ["_60_80_.jpg", "_40_40_.jpg", "_Thumb-1.jpg", "_full.jpg"]
    assert answer["expected_files"] == [f"{answer['hash']}_photo{each}" for each in endings]


def test_its_files_are_as_it_says(api: Api) -> None:
    found = served(api, EVERYTHING["formats"])
    sizes = {ending: image.size for ending, image in found.items() if ending != "warnings"}
    full = sizes.pop("_full.jpg")
    photo = Image.open(io.BytesIO(PHOTO))
    assert sizes == {"_60_80_.jpg": (80, 60), "_40_40_.jpg": (40, 40), "_Thumb-1.jpg": (20, 20)}
    assert full == (photo.height, photo.width)  # "rotate"
    thumb = found["_Thumb-1.jpg"].convert("RGB")
    red, green, blue = thumb.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()  # "grayscale"


def test_one_option_beside_none(api: Api) -> None:
    """Each option by itself changes the pixels, or the size."""
    options: dict[str, Any] = {
        "fit": "fill",
        "rotate": 90,
        "flip": "vertical",
        "trim": True,
        "sharpen": 2,
        "blur": 2,
        "grayscale": True,
        "watermark": {"text": "@/etc/passwd"},
    }
    sizes = [{"box": [90, 90], "name": name, name: value} for name, value in options.items()]
    found = served(api, {"png": {"sizes": [[90, 90], *sizes]}}, framed())
    plain = found["_90_90_.png"].convert("RGB")
    for name in options:
        made = found[f"_{name}.png"].convert("RGB")
        assert (made.size, made.tobytes()) != (plain.size, plain.tobytes()), name


def test_a_setting_without_a_use_is_a_warning(api: Api) -> None:
    found = served(api, {"png": {"settings": {"subsampling": "4:4:4"}, "sizes": [[20]]}})
    assert found["warnings"] == ["setting_ignored"]


def test_a_missing_glyph_is_a_warning(api: Api) -> None:
    found = served(api, {"png": {"watermark": {"text": "a漢", "size": 9}, "sizes": [[90]]}})
    assert found["warnings"] == ["glyph_missing"]


@pytest.mark.parametrize("field", wrong_looks())
def test_each_wrong_option_is_a_422_that_names_it(api: Api, field: str) -> None:
    answer = api.upload(PHOTO, token=upload_token(wrong_looks()[field]))
    assert_problem(answer, 422, "invalid_spec", field)
    assert nothing_stored()


def test_two_outputs_of_one_name_are_told_what_helps(api: Api) -> None:
    twins = {"formats": {"jpg": {"sizes": [[80], {"box": [80], "fit": "cover"}]}}, **HOST}
    answer = api.upload(PHOTO, token=upload_token(twins))
    body = assert_problem(answer, 422, "invalid_spec", "job.formats.jpg.sizes[1]")
    assert "give one a `name`" in body["detail"]


def test_a_native_size_beside_the_original_is_told_so_too(api: Api) -> None:
    job = {"formats": {"jpg": {"blur": 1}}, "keepOriginal": True, **HOST}
    body = assert_problem(
        api.upload(PHOTO, token=upload_token(job)), 422, "name_taken", "job.keepOriginal"
    )
    assert "`name`" in body["detail"]
