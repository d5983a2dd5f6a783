"""One job inside the child: a plan in, an outcome out, with one decode between."""

import errno
import hashlib
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from encoders import registry
from encoders.doublecheck import double_check
from encoders.errors import PictureError
from encoders.finish import flatten
from encoders.forecast import forecast
from encoders.geometry import Size
from encoders.header import Header
from encoders.look import Look
from encoders.looks import Looks, needed
from encoders.picture import Frame, Picture
from encoders.plan import ORIGINAL, Notice, Outcome, Plan, Rendition, Variant
from encoders.probe import probe
from encoders.source import Source, open_source

_OS_ERRORS = {
    errno.ENOSPC: ("disk_full", "The disk is full."),
    errno.EDQUOT: ("disk_full", "The disk quota is used up."),
    errno.EFBIG: ("output_too_large", "A rendition is larger than one file may be."),
}


class Render:
    """Makes every variant of one plan; ``on_rendition`` hears of each file as it is finished.

    ``admit`` is called with the predicted bytes of memory before anything is decoded.
    """

    def __init__(
        self,
        plan: Plan,
        work_dir: Path,
        on_rendition: Callable[[Rendition], None],
        admit: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self._plan = plan
        self._work_dir = work_dir
        self._on_rendition = on_rendition
        self._admit = admit
        self._notices: dict[Notice, None] = {}
        self._spent = {"decode": 0.0, "resize": 0.0, "encode": 0.0}

    def run(self) -> Outcome:
        """Probe, check the limits, decode once, write each variant. Raises PictureError."""
        started, cpu = time.perf_counter(), time.process_time()
        header = probe(self._plan.source)
        self._plan.limits.check(header)
        double_check(self._plan.source, header, self._plan.limits)
        self._admit(forecast(self._plan, header).memory_bytes)
        self._note_header(header)
        made = dict(self._write_all(header))
        total = {
            "total": _ms(time.perf_counter() - started),
            "cpu": _ms(time.process_time() - cpu),
        }
        renditions = tuple(made[variant] for variant in self._plan.variants)
        return Outcome(header, renditions, tuple(self._notices), self._spent | total)

    def _write_all(self, header: Header) -> Iterator[tuple[Variant, Rendition]]:
        wanted = [each for each in self._plan.variants if each.format != ORIGINAL]
        for variant in self._plan.variants:
            if variant.format == ORIGINAL:
                yield variant, self._copy(variant, header)
        if wanted:
            source = self._decode(header, wanted)
            yield from self._encode_all(wanted, self._develop(source, wanted), source)

    def _decode(self, header: Header, wanted: list[Variant]) -> Source:
        looks = {variant.look for variant in wanted}
        with self._timed("decode"):
            largest = needed(header.upright, looks)
            return open_source(self._plan.source, header, largest, self._work_dir)

    def _develop(self, source: Source, wanted: list[Variant]) -> dict[Look, tuple[Frame, ...]]:
        """Every frame of every look, made from one decode."""
        looks = Looks((variant.look for variant in wanted), source.profile)
        made: dict[Look, list[Frame]] = defaultdict(list)
        for frame in source.frames:
            with self._timed("resize"):
                for look, image in looks.of(frame.image).items():
                    made[look].append(Frame(image, frame.duration_ms))
        for notice in looks.notices:
            self._note(notice)
        return {look: tuple(frames) for look, frames in made.items()}

    def _encode_all(
        self, wanted: list[Variant], made: dict[Look, tuple[Frame, ...]], source: Source
    ) -> Iterator[tuple[Variant, Rendition]]:
        """The largest first; side by side where the plan allows: encoders release the GIL."""
        wanted = sorted(wanted, key=lambda each: made[each.look][0].image.size, reverse=True)
        pictures = ((each, self._picture(each, made[each.look], source)) for each in wanted)
        done: Iterator[tuple[Variant, Rendition]]
        if self._plan.limits.threads == 1:
            done = ((each, self._encode(each, picture)) for each, picture in pictures)
        else:
            done = self._side_by_side(pictures)
        for variant, rendition in done:
            self._on_rendition(rendition)
            yield variant, rendition

    def _side_by_side(
        self, pictures: Iterator[tuple[Variant, Picture]]
    ) -> Iterator[tuple[Variant, Rendition]]:
        """In the order they are finished; after an error nothing new is begun."""
        with ThreadPoolExecutor(self._plan.limits.threads) as pool:
            work = {pool.submit(self._encode, *each): each[0] for each in pictures}
            try:
                for future in as_completed(work):
                    yield work[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _picture(self, variant: Variant, frames: tuple[Frame, ...], source: Source) -> Picture:
        """What the variant's encoder can take of the finished frames."""
        encoder = registry.load(variant.format)
        for setting in sorted(set(variant.asked) - encoder.settings):
            self._note(Notice("setting_ignored", f"{variant.format} has no use for {setting}."))
        if not encoder.animated:
            frames = frames[:1]
        if frames[0].image.mode == "RGBA" and not encoder.alpha:
            frames = tuple(
                Frame(flatten(frame.image, variant.look), frame.duration_ms) for frame in frames
            )
            message = f"{variant.format} has no transparency; it was put on the background."
            self._note(Notice("alpha_flattened", message))
        return Picture(frames, source.loop)

    def _encode(self, variant: Variant, picture: Picture) -> Rendition:
        encoder = registry.load(variant.format)
        started = time.perf_counter()
        with self._writing(variant) as path:
            _encode_or_explain(
                lambda: encoder.encode(picture, path, variant.settings), variant.format
            )
        seconds = time.perf_counter() - started
        self._spent["encode"] += _ms(seconds)
        return self._finish(variant, picture.size, seconds)

    def _copy(self, variant: Variant, header: Header) -> Rendition:
        message = "The original is stored as it came, with all its metadata (place, device, time)."
        self._note(Notice("original_metadata_kept", message))
        started = time.perf_counter()
        with self._writing(variant) as path:
            shutil.copyfile(self._plan.source, path)
        rendition = self._finish(variant, header.upright, time.perf_counter() - started)
        self._on_rendition(rendition)
        return rendition

    @contextmanager
    def _writing(self, variant: Variant) -> Iterator[Path]:
        """A temporary name, renamed at the end: a file under its own name is always whole."""
        path = self._plan.out_dir / f".{os.getpid()}-{threading.get_ident()}.part"
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
        return Rendition(
            variant.name, variant.format, size[0], size[1], length, digest, _ms(seconds)
        )

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
