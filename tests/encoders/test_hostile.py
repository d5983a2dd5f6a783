"""Pictures that mean harm, in the real child: refused with their cause, quickly and cheaply."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from encoders.converter import Converter
from encoders.doublecheck import double_check
from encoders.errors import PictureError
from encoders.limits import Limits
from encoders.look import Look
from encoders.plan import Plan, Settings, Variant
from encoders.probe import probe
from encoders.spawn import _environment
from tests.encoders import hostile, strangers
from tests.encoders.lies import LIES
from tests.encoders.pictures import IMAGES

CPU_S = 2.0
PEAK_BYTES = 300 << 20
FORMATS = ("jpg", "png", "webp", "avif")
GOOD = IMAGES / "pil_hopper.jpg"


def job(source: Path, out_dir: Path) -> Plan:
    small = Look((100, 100))
    variants = (Variant(f"out.{name}", name, small, Settings(speed=10)) for name in FORMATS)
    return Plan(source, out_dir, tuple(variants))


class Watched:
    """A converter whose jobs are measured: CPU seconds and peak memory of its child."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.converter = Converter(roots=lambda: (folder, IMAGES))

    def convert(self, data: bytes) -> str:
        """The code of the refusal, or "ok"; asserts that it cost little and left nothing."""
        source, out_dir = self.folder / "source", self.folder / "out"
        source.write_bytes(data)
        out_dir.mkdir()
        if self.converter.pid is None:
            self.converter.convert(job(GOOD, self.folder))
        child = psutil.Process(self.converter.pid)
        Path(f"/proc/{child.pid}/clear_refs").write_text("5")  # the peak counts from here on
        used = sum(child.cpu_times()[:2])
        work_dir = Path(child.cwd())
        costs = {"cpu": used, "peak": 0.0}

        def look() -> None:
            costs["cpu"] = sum(child.cpu_times()[:2])
            costs["peak"] = peak_bytes(child.pid)

        try:
            self.converter.convert(job(source, out_dir), on_beat=look, beat_s=0.01)
            code, message = "ok", ""
        except PictureError as error:
            code, message = error.code, error.message
        assert not re.search(r"/|\\|Error\b", message)
        if self.converter.pid == child.pid:
            look()
            assert not list(work_dir.iterdir())
        else:
            assert not work_dir.exists()
        assert costs["cpu"] - used < CPU_S
        assert costs["peak"] < PEAK_BYTES
        assert code == "ok" or not list(out_dir.iterdir())
        return code


def peak_bytes(pid: int) -> int:
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("hostile")
    watched = Watched(folder)
    yield watched
    watched.converter.close()


@pytest.fixture
def watched(converter: Watched) -> Watched:
    shutil.rmtree(converter.folder / "out", ignore_errors=True)
    return converter


@pytest.mark.parametrize("name", strangers.STRANGERS)
def test_what_is_no_picture_is_refused_by_its_bytes(name: str, watched: Watched) -> None:
    assert watched.convert(strangers.STRANGERS[name]) == "unsupported_type"


@pytest.mark.parametrize("name", hostile.REFUSED)
def test_it_is_refused_with_its_cause_and_costs_little(name: str, watched: Watched) -> None:
    make, code = hostile.REFUSED[name]
    found = watched.convert(make())
    assert found == code or (code is None and found in {"ok", "damaged_picture"})


@pytest.mark.parametrize("name", LIES)
def test_lies_are_found_before_anything_is_decoded(name: str, tmp_path: Path) -> None:
    make, code = LIES[name]
    path = tmp_path / "source"
    path.write_bytes(make())
    with pytest.raises(PictureError) as caught:
        double_check(path, probe(path), Limits())
    assert caught.value.code == code


@pytest.mark.parametrize("name", strangers.POLYGLOTS)
def test_nothing_foreign_passes_through(name: str, watched: Watched) -> None:
    data = strangers.POLYGLOTS[name]()
    assert strangers.MARK in data
    assert watched.convert(data) == "ok"
    for made in (watched.folder / "out").iterdir():
        content = made.read_bytes()
        for part in (b"script", b"php", b"alert", b"PK\x03\x04", b"evil"):
            assert part not in content, made.name
        with Image.open(made) as image:
            assert image.size == (40, 30)


POLICY = """
import sys
from encoders.library import load_decoders
load_decoders()
from wand.image import Image
from wand.exceptions import WandException
for name in sys.argv[2:]:
    try:
        with Image() as image:
            if sys.argv[1] == "read":
                image.read(filename=name)
            else:
                image.read(filename="PNG:tests/images/pil_hopper.png")
                image.save(filename=name)
    except WandException as error:
        pass
    else:
        print(name)
"""
OTHERS = """
    MVG MSL SVG MSVG EPS PS PDF TEXT LABEL CAPTION EPHEMERAL URL HTTP HTTPS FTP FILE
    BMP PSD XPS VIDEO MPEG SHOW WIN X INLINE FD CLIPBOARD PLASMA XC GRADIENT TXT
    HTML JSON DPX PNM
""".split()  # noqa: SIM905 - fifty quotes would not make it clearer


def done_by_magick(deed: str, *names: str) -> list[str]:
    """Which of the names our ImageMagick was willing to read, or to write."""
    root = IMAGES.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", POLICY, deed, *names],
        cwd=root,
        env=_environment(root),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_no_other_coder_reads_and_no_path_means_more(tmp_path: Path) -> None:
    names = []
    for coder in OTHERS:
        path = tmp_path / coder
        path.write_bytes(strangers.STRANGERS.get(coder.lower(), b"P3 1 1 1 0 0 0"))
        names += [f"{coder}:{path}", str(path)]
    good = f"PNG:{IMAGES / 'pil_hopper.png'}"
    listed = tmp_path / "list"
    listed.write_text(good)
    names += [f"@{listed}", f"PNG:@{listed}", "|id", "xc:red", "plasma:", "rose:"]
    assert done_by_magick("read", *names, good) == [good]


def test_only_png_is_written(tmp_path: Path) -> None:
    names = [f"{coder}:{tmp_path / coder}" for coder in ("JPEG", "GIF", "TIFF", "WEBP", *OTHERS)]
    good = f"PNG:{tmp_path / 'good'}"
    assert done_by_magick("write", *names, good) == [good]
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == ["good"]


def test_after_all_that_the_child_still_works(watched: Watched) -> None:
    assert watched.convert(GOOD.read_bytes()) == "ok"
