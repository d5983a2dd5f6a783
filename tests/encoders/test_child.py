"""What the child process is, seen through /proc."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from encoders.converter import Converter
from encoders.limits import Limits
from encoders.plan import Plan, Variant
from encoders.workdir import make_work_dir, sweep_work_dirs
from tests.encoders.pictures import IMAGES, plan

ROOT = IMAGES.parent.parent
PARENT = """
import sys
import tempfile
from pathlib import Path
from encoders.converter import Converter
from encoders.plan import Plan, Settings, Variant

converter = Converter()
variants = Variant("a.jpg", "jpg"), Variant("a.avif", "avif", settings=Settings(speed=0))
plan = Plan(Path(sys.argv[1]), Path(sys.argv[2]), variants)
converter.convert(plan, on_rendition=lambda rendition: print(converter.pid, flush=True))
"""


def limit_of(pid: int, name: str) -> tuple[str, str]:
    found = re.search(rf"^{name}\s+(\S+)\s+(\S+)", Path(f"/proc/{pid}/limits").read_text(), re.M)
    assert found
    return found[1], found[2]


def test_the_child_is_confined(converter: Converter, tmp_path: Path) -> None:
    limits = Limits(memory_bytes=1 << 31, file_bytes=12_345_678, timeout_s=50)
    variants = (Variant("a.jpg", "jpg"),)
    converter.convert(Plan(IMAGES / "pil_hopper.jpg", tmp_path, variants, limits))
    assert converter.pid
    assert limit_of(converter.pid, "Max address space") == (str(1 << 31), str(1 << 31))
    assert limit_of(converter.pid, "Max file size") == ("12345678", "12345678")
    assert limit_of(converter.pid, "Max core file size") == ("0", "0")
    assert limit_of(converter.pid, "Max open files") == ("128", "128")
    assert 50 <= int(limit_of(converter.pid, "Max cpu time")[0]) <= 55
    status = Path(f"/proc/{converter.pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)


def test_other_limits_mean_another_child(converter: Converter, tmp_path: Path) -> None:
    source, variants = IMAGES / "pil_hopper.jpg", (Variant("a.jpg", "jpg"),)
    converter.convert(Plan(source, tmp_path, variants))
    first = converter.pid
    converter.convert(Plan(source, tmp_path, variants, Limits(timeout_s=5)))
    assert converter.pid == first
    converter.convert(Plan(source, tmp_path, variants, Limits(file_bytes=1 << 20)))
    assert converter.pid != first


def test_no_secret_is_inherited(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXERVE_SECRET_KEY", "very secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    monkeypatch.setenv("MAGICK_CODER_MODULE_PATH", str(tmp_path))
    converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))
    environment = Path(f"/proc/{converter.pid}/environ").read_bytes()
    names = {item.partition(b"=")[0] for item in environment.split(b"\0")}
    assert b"MAGICK_CONFIGURE_PATH" in names
    assert b"MAGICK_CODER_MODULE_PATH" not in names
    assert b"secret" not in environment.lower()


def test_no_other_descriptor_is_inherited(converter: Converter, tmp_path: Path) -> None:
    with (tmp_path / "private").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))
        opened = {item.path for item in psutil.Process(converter.pid).open_files()}
    assert str(tmp_path / "private") not in opened


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(IMAGES / "imn_large.jpg"), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.ppid() == parent.pid
        parent.send_signal(signal.SIGKILL)
    gone, _ = psutil.wait_procs([child], timeout=5)
    assert gone or child.status() == psutil.STATUS_ZOMBIE


def test_the_folder_of_a_killed_child_is_swept(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, descriptor = make_work_dir()
    (left / "source").touch()
    converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))
    in_use = psutil.Process(converter.pid).cwd()
    assert sweep_work_dirs(newborn_s=0) == 0
    os.close(descriptor)
    assert sweep_work_dirs() == 0, "it may be newborn"
    assert sweep_work_dirs(newborn_s=0) == 1
    assert [str(path) for path in tmp_path.glob("pixerve-child-*")] == [in_use]


def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    command = [sys.executable, "-m", "encoders.child", "0", "1", "1", str(1 << 30), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"the parent is gone" in done.stderr


def test_a_flood_of_noise_does_no_harm(converter: Converter, tmp_path: Path) -> None:
    """libtiff writes a line to standard error for each odd tag."""
    converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))
    assert converter.pid
    with Path(f"/proc/{converter.pid}/fd/2").open("wb", buffering=0) as stderr:
        for _ in range(8):
            stderr.write(b"noise " * 1000)
        converter.convert(plan(IMAGES / "pil_hopper.jpg", tmp_path, "jpg"))


@pytest.mark.parametrize(
    "coder", ["svg", "msl", "text", "pdf", "mvg", "http", "rgb", "avif", "bmp"]
)
def test_imagemagick_may_not_read_anything_else(coder: str, tmp_path: Path) -> None:
    assert "PolicyError" in _magick(f"image.read(filename='{coder}:{IMAGES}/imp_test1.svg')")


def test_imagemagick_may_not_read_lists_of_files_or_write_other_formats(tmp_path: Path) -> None:
    assert "PolicyError" in _magick(f"image.read(filename='@{IMAGES}/imp_test1.svg')")
    read = f"image.read(filename='png:{IMAGES}/pil_hopper.png')"
    assert _magick(f"{read}; image.make_blob('png')") == ""
    for name in ("jpeg", "pdf", "msl", "bmp"):
        assert _magick(f"{read}; image.make_blob('{name}')") != ""


def _magick(statement: str) -> str:
    """What Wand raises at ``statement`` under the child's policy; empty if nothing."""
    code = (
        "from encoders.library import load_decoders; load_decoders()\n"
        "from wand.image import Image\n"
        "image = Image()\n"
        f"try: {statement}\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = os.environ | {"MAGICK_CONFIGURE_PATH": str(ROOT / "encoders" / "magick")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    return done.stdout.decode()
