"""docs/extending.md holds: its package works as it stands there, and so does its test."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from encoders import registry
from encoders.converter import Converter
from encoders.look import Look
from encoders.plan import Notice, Plan, Settings, Variant
from tests.encoders.pictures import IMAGES, opened

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs/extending.md").read_text(), re.MULTILINE | re.DOTALL
)
PROJECT = tomllib.loads(next(text for kind, text in BLOCKS if kind == "toml"))["project"]
MODULE, TEST, *_ = (text for kind, text in BLOCKS if kind == "python")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the page's package, as pip would."""
    ((name, place),) = PROJECT["entry-points"][registry.GROUP].items()
    metadata = tmp_path / "packages" / "example-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{name} = {place}\n")
    (metadata.parent / f"{place.partition(':')[0]}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(metadata.parent)
    monkeypatch.setenv("PYTHONPATH", str(metadata.parent))
    monkeypatch.chdir(ROOT)
    registry.forget()
    yield
    registry.forget()


@pytest.mark.usefixtures("package")
def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    page: dict[str, object] = {}
    exec(TEST, page)  # noqa: S102 - a page of this repository
    tests = [value for name, value in page.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0](tmp_path)  # type: ignore[operator]


@pytest.mark.usefixtures("package")
def test_the_format_obeys_what_it_says(converter: Converter, tmp_path: Path) -> None:
    variants = [
        Variant(f"{number}.jp2", "jp2", Look((400, 400)), settings, asked=("quality", "speed"))
        for number, settings in enumerate([Settings(20), Settings(80), Settings(lossless=True)])
    ]
    source = IMAGES / "pil_transparent.webp"
    outcome = converter.convert(Plan(source, tmp_path, tuple(variants)))
    assert outcome.warnings == (Notice("setting_ignored", "jp2 has no use for speed."),)
    sizes = [made.bytes for made in outcome.renditions]
    assert sizes == sorted(sizes)
    assert (outcome.renditions[0].width, outcome.renditions[0].height) == (200, 150)
    with Image.open(source) as image:
        assert opened(tmp_path / "2.jp2", "RGBA").tobytes() == image.convert("RGBA").tobytes()


@pytest.mark.usefixtures("package")
def test_the_page_names_every_member() -> None:
    rows = set(re.findall(r"^\| `(\w+)", (ROOT / "docs/extending.md").read_text(), re.MULTILINE))
    members = {name for name in vars(type(registry.load("jp2"))) if not name.startswith("_")}
    assert members <= rows
