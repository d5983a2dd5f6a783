"""Every picture of the set: the good ones convert to everything, the bad ones say why not."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.errors import PictureError
from encoders.geometry import layout
from encoders.look import Look
from encoders.plan import Notice, Plan, Variant
from tests.encoders.pictures import FORMATS, IMAGES, OK, REJECT, opened, plan, upright

CAUSES = {
    "pil_truncated_jpeg.jpg": ("damaged_picture", "truncated"),
    "pil_broken_data_stream.png": ("damaged_picture", "truncated"),
    "pst_xhdn0g08.png": ("damaged_picture", "checksum"),
    "pst_xdtn0g01.png": ("damaged_picture", "IDAT"),
    "pst_xs1n0g01.png": ("unsupported_type", "not a JPEG"),
    "pil_decompression_bomb.gif": ("damaged_picture", "truncated"),
    "thu_16384x16384.png": ("too_many_pixels", "268435456"),
    "gif_issue-101-infinite-empty-loop.gif": ("damaged_picture", "truncated"),
    "thu_image_invalid.jpg": ("unsupported_type", "not a JPEG"),
    "imp_test1.svg": ("unsupported_type", "not a JPEG"),
}


@pytest.mark.parametrize("row", OK, ids=lambda row: row["file"])
def test_a_good_picture_becomes_every_format(
    row: dict[str, str], shared: Converter, tmp_path: Path
) -> None:
    box = (100, 60)
    native = plan(IMAGES / row["file"], tmp_path, *FORMATS).variants
    boxed = tuple(Variant(f"small.{name}", name, Look(box)) for name in FORMATS)
    outcome = shared.convert(Plan(IMAGES / row["file"], tmp_path, native + boxed))
    assert outcome.header.upright == upright(row)
    expected = [upright(row)] * len(FORMATS) + [
        layout(upright(row), box, "inside", "center", enlarge=False).size
    ] * len(FORMATS)
    assert [(made.width, made.height) for made in outcome.renditions] == expected
    for made in outcome.renditions:
        data = (tmp_path / made.name).read_bytes()
        assert (made.bytes, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        with Image.open(tmp_path / made.name) as image:
            image.load()
            assert image.size == (made.width, made.height)
            assert image.format == {"jpg": "JPEG"}.get(made.format, made.format.upper())
            assert not image.info.keys() & {"exif", "icc_profile", "xmp", "comment", "dpi"}
            assert not image.getexif()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        made.name for made in outcome.renditions
    )


@pytest.mark.parametrize("row", REJECT, ids=lambda row: row["file"])
def test_a_bad_picture_is_refused_with_its_cause(
    row: dict[str, str], shared: Converter, tmp_path: Path
) -> None:
    with pytest.raises(PictureError) as caught:
        shared.convert(plan(IMAGES / row["file"], tmp_path, *FORMATS))
    code, words = CAUSES[row["file"]]
    assert caught.value.code == code
    assert words in caught.value.message
    assert not caught.value.retryable
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pil_dispose_bgnd.gif", "animation_first_frame"),
        ("pil_dispose_op_background.png", "animation_first_frame"),
        ("wbp_random_lossless.webp", "animation_first_frame"),
        ("avf_colors-animated-8bpc.avif", "animation_first_frame"),
        ("pil_multipage.tiff", "first_page_only"),
    ],
)
def test_what_is_lost_is_said(name: str, code: str, shared: Converter, tmp_path: Path) -> None:
    outcome = shared.convert(plan(IMAGES / name, tmp_path, "png"))
    assert [notice.code for notice in outcome.warnings] == [code]


def test_no_place_or_packet_survives(shared: Converter, tmp_path: Path) -> None:
    for name in ("pil_exif_gps.jpg", "pil_xmp_test.jpg", "pil_icc_profile_big.jpg"):
        shared.convert(plan(IMAGES / name, tmp_path, *FORMATS))
        for made in FORMATS:
            data = (tmp_path / f"out.{made}").read_bytes()
            for trace in (b"Exif", b"GPS", b"ns.adobe.com", b"rdf+xml", b"acsp", b"iCCP", b"tEXt"):
                assert trace not in data, (name, made, trace)


def test_the_original_is_the_same_bytes(shared: Converter, tmp_path: Path) -> None:
    source = IMAGES / "pil_exif_gps.jpg"
    outcome = shared.convert(Plan(source, tmp_path, (Variant("kept.jpg", "original"),)))
    assert (tmp_path / "kept.jpg").read_bytes() == source.read_bytes()
    assert [notice.code for notice in outcome.warnings] == ["original_metadata_kept"]
    assert outcome.renditions[0].sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


def test_an_unused_setting_is_named(shared: Converter, tmp_path: Path) -> None:
    variant = Variant("out.png", "png", asked=("quality", "speed"))
    outcome = shared.convert(Plan(IMAGES / "pil_hopper.jpg", tmp_path, (variant,)))
    assert outcome.warnings == (Notice("setting_ignored", "png has no use for quality."),)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "name",
    [
        "pil_hopper.jpg",
        "img_cat.jpg",
        "pil_hopper.png",
        "pil_hopper.gif",
        "pil_hopper.webp",
        "pil_hopper.avif",
        "thu_image.heic",
        "pil_tiff_16bit_RGB.tiff",
    ],
)
def test_half_a_file_is_refused(name: str, cut: float, shared: Converter, tmp_path: Path) -> None:
    data = (IMAGES / name).read_bytes()
    source = tmp_path / "cut"
    source.write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(PictureError) as caught:
        shared.convert(plan(source, tmp_path, "png"))
    assert caught.value.code == "damaged_picture"
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize("name", ["pil_hopper.jpg", "img_cat.jpg"])
def test_a_jpeg_with_missing_data_before_its_end_marker_is_refused(
    name: str, shared: Converter, tmp_path: Path
) -> None:
    data = (IMAGES / name).read_bytes()
    source = tmp_path / "cut.jpg"
    source.write_bytes(data[: len(data) * 6 // 10] + b"\xff\xd9")
    with pytest.raises(PictureError, match="premature end of data segment"):
        shared.convert(plan(source, tmp_path, "png"))


def test_a_stray_byte_does_not_hide_missing_data(shared: Converter, tmp_path: Path) -> None:
    data = (IMAGES / "pil_hopper.jpg").read_bytes()
    second = 4 + int.from_bytes(data[4:6])
    source = tmp_path / "cut.jpg"
    stray = data[:second] + b"\1" + data[second:]
    source.write_bytes(stray)
    shared.convert(plan(source, tmp_path, "png"))
    source.write_bytes(stray[: len(data) * 6 // 10] + b"\xff\xd9")
    with pytest.raises(PictureError, match="premature end of data segment"):
        shared.convert(plan(source, tmp_path, "png"))


def test_bytes_after_the_end_of_a_jpeg_do_not_matter(shared: Converter, tmp_path: Path) -> None:
    source = tmp_path / "longer.jpg"
    source.write_bytes((IMAGES / "pil_hopper.jpg").read_bytes() + b"a video" * 1000)
    shared.convert(plan(source, tmp_path, "png"))
    assert opened(tmp_path / "out.png").size == (128, 128)


def test_odd_file_names_are_only_names(shared: Converter, tmp_path: Path) -> None:
    folder = tmp_path / "50%d [0] *"
    folder.mkdir()
    source = folder / "msl:picture[3].svg"
    source.write_bytes((IMAGES / "pil_hopper.png").read_bytes())
    variant = Variant("%d[1]*.png", "png")
    shared.convert(Plan(source, folder, (variant,)))
    assert opened(folder / "%d[1]*.png").size == (128, 128)


def test_a_gif_frame_is_placed_on_its_canvas(shared: Converter, tmp_path: Path) -> None:
    Image.new("P", (4, 3), 0).save(tmp_path / "small.gif")
    data = bytearray((tmp_path / "small.gif").read_bytes())
    data[6:10] = bytes([10, 0, 8, 0])
    at = data.index(b"\x2c\0\0\0\0\x04\0\x03\0")
    data[at + 1 : at + 5] = bytes([2, 0, 5, 0])
    source = tmp_path / "placed.gif"
    source.write_bytes(data)
    outcome = shared.convert(plan(source, tmp_path, "png"))
    assert outcome.header.upright == (10, 8)
    assert opened(tmp_path / "out.png", "RGBA").getchannel("A").getbbox() == (2, 5, 6, 8)
