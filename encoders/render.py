"""One job inside the child: a plan in, an outcome out, with one decode between."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pillow

from encoders import registry
from encoders.errors import PictureError
from encoders.geometry import Size, fit
from encoders.header import Header
from encoders.plan import ORIGINAL, Notice, Outcome, Plan, Rendition, Variant
from encoders.probe import probe
from encoders.pyramid import Pyramid
from encoders.source import open_source

_WHITE = (255, 255, 255)
_OS_ERRORS = {
    errno.ENOSPC: ("disk_full", "The disk is full."),
    errno.EDQUOT: ("disk_full", "The disk quota is used up."),
    errno.EFBIG: ("output_too_large", "A rendition is larger than one file may be."),
}


class Render:
    """Makes every variant of one plan; ``on_rendition`` hears of each file as it is finished."""

    def __init__(
        self, plan: Plan, work_dir: Path, on_rendition: Callable[[Rendition], None]
    ) -> None:
        self._plan = plan
        self._work_dir = work_dir
        self._on_rendition = on_rendition
        self._notices: dict[Notice, None] = {}
        self._spent = {"decode": 0.0, "resize": 0.0, "encode": 0.0}

    def run(self) -> Outcome:
        """Probe, check the limits, decode once, write each variant. Raises PictureError."""
        started, cpu = time.perf_counter(), time.process_time()
        header = probe(self._plan.source)
        self._plan.limits.check(header)
        self._note_header(header)
        made = dict(self._write_all(header))
        total = {
            "total": _ms(time.perf_counter() - started),
            "cpu": _ms(time.process_time() - cpu),
        }
        renditions = tuple(made[variant] for variant in self._plan.variants)
        return Outcome(header, renditions, tuple(self._notices), self._spent | total)

    def _write_all(self, header: Header) -> Iterator[tuple[Variant, Rendition]]:
        sizes = {
            variant: fit(header.upright, variant.box)
            for variant in self._plan.variants
            if variant.format != ORIGINAL
        }
        for variant in self._plan.variants:
            if variant.format == ORIGINAL:
                yield variant, self._copy(variant, header)
        if not sizes:
            return
        largest_first = sorted(sizes, key=lambda variant: sizes[variant], reverse=True)
        pyramid = self._decode(header, sizes[largest_first[0]])
        for variant in largest_first:
            yield variant, self._encode(variant, self._resize(pyramid, sizes[variant]))
        if pyramid.notice:
            self._note(pyramid.notice)

    def _decode(self, header: Header, largest: Size) -> Pyramid:
        with self._timed("decode"):
            return Pyramid(open_source(self._plan.source, header, largest, self._work_dir))

    def _resize(self, pyramid: Pyramid, size: Size) -> Pillow.Image:
        with self._timed("resize"):
            return pyramid.at(size)

    def _encode(self, variant: Variant, picture: Pillow.Image) -> Rendition:
        encoder = registry.load(variant.format)
        for setting in sorted(set(variant.asked) - encoder.settings):
            self._note(Notice("setting_ignored", f"{variant.format} has no use for {setting}."))
        if picture.mode == "RGBA" and not encoder.alpha:
            picture = _flatten(picture)
            message = f"{variant.format} has no transparency; it was put on white."
            self._note(Notice("alpha_flattened", message))
        started = time.perf_counter()
        with self._writing(variant) as path, self._timed("encode"):
            _encode_or_explain(
                lambda: encoder.encode(picture, path, variant.quality, variant.speed),
                variant.format,
            )
        return self._finish(variant, picture.size, time.perf_counter() - started)

    def _copy(self, variant: Variant, header: Header) -> Rendition:
        message = "The original is stored as it came, with all its metadata (place, device, time)."
        self._note(Notice("original_metadata_kept", message))
        started = time.perf_counter()
        with self._writing(variant) as path:
            shutil.copyfile(self._plan.source, path)
        return self._finish(variant, header.upright, time.perf_counter() - started)

    @contextmanager
    def _writing(self, variant: Variant) -> Iterator[Path]:
        """A temporary name, renamed at the end: a file under its own name is always whole."""
        path = self._plan.out_dir / f".{os.getpid()}.part"
        try:
            yield path
            path.replace(self._plan.out_dir / variant.name)
        except OSError as error:
            code, message = _OS_ERRORS.get(
                error.errno or 0, ("encode_failed", "The rendition could not be written.")
            )
            raise PictureError(code, message) from error
        finally:
            path.unlink(missing_ok=True)

    def _finish(self, variant: Variant, size: Size, seconds: float) -> Rendition:
        path = self._plan.out_dir / variant.name
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            length = file.tell()
        rendition = Rendition(
            variant.name, variant.format, size[0], size[1], length, digest, _ms(seconds)
        )
        self._on_rendition(rendition)
        return rendition

    def _note(self, notice: Notice) -> None:
        self._notices[notice] = None

    def _note_header(self, header: Header) -> None:
        if all(variant.format == ORIGINAL for variant in self._plan.variants):
            return
        if header.frames > 1 and header.format == "tiff":
            self._note(Notice("first_page_only", f"Page 1 of {header.frames} was converted."))
        elif header.frames > 1:
            message = f"Frame 1 of {header.frames} was converted; the animation is lost."
            self._note(Notice("animation_first_frame", message))
        if header.alpha_lost:
            message = "The transparency of the HEIC could not be read."
            self._note(Notice("alpha_lost", message))

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._spent[what] += _ms(time.perf_counter() - started)


def _flatten(picture: Pillow.Image) -> Pillow.Image:
    background = Pillow.new("RGB", picture.size, _WHITE)
    background.paste(picture, mask=picture.getchannel("A"))
    return background


def _encode_or_explain(encode: Callable[[], None], name: str) -> None:
    try:
        encode()
    except (PictureError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise PictureError("encode_failed", f"{name} could not be encoded: {error}") from error
    except Exception as error:
        raise PictureError("encode_failed", f"{name} could not be encoded: {error}") from error


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
