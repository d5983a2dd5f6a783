"""Which fonts there are, by what their files say; and that no file can hurt."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from encoders import sfnt, typefaces
from encoders.errors import PictureError
from encoders.sfnt import Face
from encoders.typefaces import BUNDLED, DEFAULT, face_of, families
from encoders.watermark import drawn

SANS = BUNDLED / "DejaVuSans.ttf"
MONO = (BUNDLED / "DejaVuSansMono.ttf").read_bytes()


def renamed(new: str) -> bytes:
    old = "DejaVu Sans Mono"
    return MONO.replace(old.encode("utf-16-be"), new.ljust(len(old)).encode("utf-16-be"))


def collection(*fonts: bytes) -> bytes:
    """A .ttc: the fonts one after the other, their tables' places counted from its start."""
    starts, moved = [], b""
    for font in fonts:
        start = 12 + 4 * len(fonts) + len(moved)
        starts.append(start.to_bytes(4))
        data = bytearray(font)
        for at in range(20, 12 + 16 * int.from_bytes(font[4:6]), 16):
            data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + start).to_bytes(4)
        moved += bytes(data)
    return b"ttcf\0\1\0\0" + len(fonts).to_bytes(4) + b"".join(starts) + moved


def test_the_bundled_ones_have_their_licence_beside_them() -> None:
    assert list(families(None)) == [DEFAULT, f"{DEFAULT} Bold", f"{DEFAULT} Mono", "DejaVu Serif"]
    licence = (BUNDLED / "LICENCE.txt").read_text()
    assert "Bitstream Vera Fonts Copyright" in licence
    assert "Arev Fonts Copyright" in licence


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.ttf")), ids=lambda path: path.name)
def test_names_are_those_that_freetype_reads(path: Path) -> None:
    assert sfnt.names(Face(path)) == ImageFont.truetype(str(path)).getname()


def test_glyphs_are_those_that_freetype_finds() -> None:
    """Pillow tells no glyph numbers: two characters are missing alike if they are drawn alike."""
    font = ImageFont.truetype(str(SANS), 20, layout_engine=ImageFont.Layout.BASIC)
    glyph = sfnt.glyphs(Face(SANS))
    assert glyph is not None
    box = bytes(font.getmask("\uffff"))
    for point in [*range(0x21, 0x250), *range(0x370, 0x600), *range(0x4E00, 0x4E40), 0x1F600]:
        assert (bytes(font.getmask(chr(point))) == box) is (glyph(point) == 0), hex(point)


def test_the_owners_font_wins_and_the_first_of_its_name(tmp_path: Path) -> None:
    for name in ("b.ttf", "a.OTF"):
        (tmp_path / name).write_bytes(MONO)
    (tmp_path / "c.ttf").write_bytes(renamed("Mine"))
    found = families(tmp_path)
    assert found["DejaVu Sans Mono"] == Face(tmp_path / "a.OTF")
    assert found["Mine"] == Face(tmp_path / "c.ttf")
    assert found[DEFAULT] == Face(SANS)
    assert list(found) == sorted(found)


def test_each_font_of_a_collection_has_its_name_and_is_drawn(tmp_path: Path) -> None:
    mine = collection(SANS.read_bytes(), renamed("Mine"), renamed("Other"))
    (tmp_path / "three.ttc").write_bytes(mine)
    (tmp_path / "mono.ttf").write_bytes(MONO)
    found = families(tmp_path)
    assert [found[name].number for name in (DEFAULT, "Mine", "Other")] == [0, 1, 2]
    inks = {name: drawn("Wij", found[name], 40, "center") for name in found}
    assert inks["Mine"].tobytes() == inks["DejaVu Sans Mono"].tobytes() != inks[DEFAULT].tobytes()
    glyph, same = sfnt.glyphs(found["Mine"]), sfnt.glyphs(Face(tmp_path / "mono.ttf"))
    assert glyph
    assert same
    assert glyph(0x42) == same(0x42) != 0


def test_a_broken_font_of_a_collection_leaves_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = collection(renamed("Lost"), renamed("Mine"))
    (tmp_path / "half.ttc").write_bytes(good[:12] + b"\xff" * 4 + good[16:])
    (tmp_path / "many.ttc").write_bytes(good[:8] + b"\xff" * 4 + good[12:])
    assert families(tmp_path).keys() - families(None).keys() == {"Mine"}
    assert "Font 0 of" in caplog.text
    assert "4294967295 fonts" in caplog.text


def test_what_is_no_font_is_logged_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.ttf").write_text("no font")
    (tmp_path / "empty.otf").touch()
    (tmp_path / "cut.ttf").write_bytes(MONO[:2000])
    (tmp_path / "folder.ttf").mkdir()
    (tmp_path / "gone.ttf").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "huge.ttf").open("wb") as huge:
        huge.truncate(typefaces.MAX_FILE_BYTES + 1)
    (tmp_path / "notes.txt").write_text("not looked at")
    shutil.copy(SANS, tmp_path / "good.ttf")
    with caplog.at_level(logging.WARNING, "pixerve.encoders"):
        found = families(tmp_path)
    assert [face.path.name for face in found.values() if face.path.parent == tmp_path] == [
        "good.ttf"
    ]
    assert len(caplog.records) == 6
    assert "notes.txt" not in caplog.text


def test_a_folder_that_is_gone_leaves_the_bundled_ones(tmp_path: Path) -> None:
    assert families(tmp_path / "none") == families(None)


def test_at_most_so_many_files_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typefaces, "MAX_FILES", 2)
    for number in range(4):
        (tmp_path / f"{number}.ttf").write_bytes(renamed(f"Mine {number}"))
    assert {"Mine 0", "Mine 1"} == families(tmp_path).keys() - families(None).keys()


@pytest.mark.parametrize("name", ["", "Comic", str(SANS), "DejaVuSans.ttf", "../DejaVuSans.ttf"])
def test_only_a_known_family_leads_to_a_file(name: str) -> None:
    with pytest.raises(PictureError) as caught:
        face_of(name, None)
    assert caught.value.code == "font_unavailable"


@given(data=st.data())
def test_no_bytes_can_do_more_than_be_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The head, the names and the characters of a real font, with bytes changed or cut off."""
    font = bytearray(MONO)
    places = [font.index(tag) for tag in (b"name", b"cmap")]
    starts = [int.from_bytes(font[place + 8 : place + 12]) for place in places]
    for _ in range(data.draw(st.integers(1, 8))):
        base = data.draw(st.sampled_from([0, *places, *starts]))
        font[base + data.draw(st.integers(0, 120))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "fuzzed.ttf"
    path.write_bytes(font[: data.draw(st.sampled_from([len(font), 5000, 300, 30, 3]))])
    try:
        for face in sfnt.faces(path):
            assert all(isinstance(name, str) for name in sfnt.names(face))
        glyph = sfnt.glyphs(face)
        assert glyph is None or all(glyph(point) >= 0 for point in (0x41, 0x5D0, 0x1F600))
    except ValueError:
        pass


def test_listing_them_loads_no_native_code() -> None:
    code = (
        "import sys; from encoders import typefaces, look; typefaces.families(None); "
        "sys.exit(bool({'PIL', 'wand', 'django'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=BUNDLED.parent.parent)
