"""Who takes part, and how each is started."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.engine.install import Installed, Unavailable, tool_version, version_of
from benchmarks.engine.runners import Pixerve, Program, Runner
from tests.server import free_port

_PROGRAMS = Path(__file__).parent / "programs"
_PACKAGE = "benchmarks.engine.programs"


@dataclass
class Peer:
    """``start`` takes a number of threads. ``equal_effort``: its codecs are told our efforts."""

    name: str
    start: Callable[[int], Runner]
    version: str = ""
    equal_effort: bool = True
    qualities: dict[tuple[str, str], int] = field(default_factory=dict)
    """Workload and format -> the quality that gives our bytes, where it is not ours."""


def ours() -> Peer:
    """The child that workers use."""
    return Peer("Pixerve", Pixerve, f"Pillow {version('pillow')}, Wand {version('wand')}")


def peers(installed: Installed, say: Callable[[str], None]) -> Iterator[Peer]:
    """Every peer that can be had here; ``say`` hears why another one cannot."""
    for family in (_sharp, _pyvips, _vipsthumbnail, _pillow, _commands, _thumbor):
        try:
            yield from family(installed)
        except Unavailable as reason:
            say(f"skipped {family.__name__.strip('_')}: {reason}")


def _sharp(installed: Installed) -> Iterator[Peer]:
    node, environment = installed.sharp()
    sharp = Path(environment["NODE_PATH"]) / "sharp" / "package.json"
    number = sharp.read_text().partition('"version": "')[2].partition('"')[0]
    for mode, words in (("once", "decode once"), ("output", "per output")):
        for equal, effort in ((True, "equal effort"), (False, "default effort")):

            def start(threads: int, mode: str = mode) -> Runner:
                command = (node, str(_PROGRAMS / "sharp.cjs"), mode, str(threads))
                return Program(command, environment)

            yield Peer(f"sharp, {words}, {effort}", start, f"sharp {number}", equal)


def _pyvips(installed: Installed) -> Iterator[Peer]:
    python = installed.python("pyvips", "pyvips[binary]")
    number = version_of(python, "pyvips-binary")

    def start(threads: int) -> Runner:
        command = (python, "-m", f"{_PACKAGE}.vips")
        return Program(command, {"VIPS_CONCURRENCY": str(threads)})

    yield Peer("pyvips, decode once", start, f"pyvips-binary {number}")


def _vipsthumbnail(installed: Installed) -> Iterator[Peer]:
    name, environment = installed.tool("vipsthumbnail")
    number = tool_version(name, environment)
    python = installed.python("plain")

    def start(threads: int) -> Runner:
        command = (python, "-m", f"{_PACKAGE}.commands", name)
        return Program(command, environment | {"VIPS_CONCURRENCY": str(threads)})

    yield Peer("vipsthumbnail per output", start, f"libvips {number}")


def _pillow(installed: Installed) -> Iterator[Peer]:
    python = installed.python("pillow", "pillow")
    number = version_of(python, "pillow")
    command = (python, "-m", f"{_PACKAGE}.pillow")
    yield Peer("Pillow alone", lambda _threads: Program(command, {}), f"Pillow {number}")


def _commands(installed: Installed) -> Iterator[Peer]:
    name, environment = installed.tool("magick", "convert")
    numbers = [f"ImageMagick {tool_version(name, environment)}"]
    for tool in ("cwebp", "avifenc"):
        _, others = installed.tool(tool)
        numbers.append(f"{tool} {tool_version(tool, others)}")
        environment |= others
    python = installed.python("plain")

    def start(threads: int) -> Runner:
        command = (python, "-m", f"{_PACKAGE}.commands", name)
        return Program(command, environment | {"MAGICK_THREAD_LIMIT": str(threads)})

    yield Peer("one process per output", start, ", ".join(numbers))


def _thumbor(installed: Installed) -> Iterator[Peer]:
    python = installed.python("thumbor", "thumbor")
    number = version_of(python, "thumbor")

    def start(_threads: int) -> Runner:
        return Program((python, "-m", f"{_PACKAGE}.thumbor", str(free_port())), {})

    # Its codecs take no effort from a request.
    yield Peer("thumbor", start, f"thumbor {number}", equal_effort=False)
