"""One job inside the child: a plan in, an outcome out, with one decode between."""

import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from encoders import registry
from encoders.animation import is_animated
from encoders.develop import Developer
from encoders.doublecheck import double_check
from encoders.errors import PictureError
from encoders.forecast import forecast
from encoders.geometry import Size
from encoders.handover import Handover
from encoders.header import Header
from encoders.looks import needed
from encoders.picture import Picture
from encoders.plan import ORIGINAL, Notice, Outcome, Plan, Rendition, Variant
from encoders.probe import probe
from encoders.source import Source, open_source
from encoders.times import Times, ms

_OS_ERRORS = {
    errno.ENOSPC: ("disk_full", "The disk is full."),
    errno.EDQUOT: ("disk_full", "The disk quota is used up."),
    **dict.fromkeys(
        (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
        ("machine_short", "The machine has no memory or no open files left."),
    ),
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
        self._share = threading.BoundedSemaphore(plan.limits.threads)
        self._times = Times("decode", "resize", "encode")

    def run(self) -> Outcome:
        """Probe, check the limits, decode once, write each variant. Raises PictureError."""
        started, cpu = time.perf_counter(), time.process_time()
        header = probe(self._plan.source)
        self._plan.limits.check(header)
        double_check(self._plan.source, header, self._plan.limits)
        self._admit(forecast(self._plan, header).memory_bytes)
        wanted = [each for each in self._plan.variants if each.format != ORIGINAL]
        self._note_header(header, wanted)
        made = dict(self._write_all(header, wanted))
        total = {
            "total": ms(time.perf_counter() - started),
            "cpu": ms(time.process_time() - cpu),
        }
        renditions = tuple(made[variant] for variant in self._plan.variants)
        return Outcome(header, renditions, tuple(self._notices), self._times.spent | total)

    def _write_all(
        self, header: Header, wanted: list[Variant]
    ) -> Iterator[tuple[Variant, Rendition]]:
        for variant in self._plan.variants:
            if variant.format == ORIGINAL:
                yield variant, self._copy(variant, header)
        if wanted:
            yield from self._convert(header, wanted)

    def _convert(
        self, header: Header, wanted: list[Variant]
    ) -> Iterator[tuple[Variant, Rendition]]:
        source = self._decode(header, wanted)
        self._note_source(header, source)
        handover = Handover(source, self._note)
        looks = {variant: handover.look(variant) for variant in wanted}
        developer = Developer(
            source,
            header,
            looks.values(),
            moving={looks[variant] for variant in wanted if _moves(variant, header)},
            plan=self._plan,
            times=self._times,
        )
        pictures = (
            (variant, handover.picture(variant, look, frames))
            for look, frames in developer.looks()
            for variant in wanted
            if looks[variant] == look
        )
        yield from self._encode_all(pictures)
        for notice in developer.notices:
            self._note(notice)

    def _decode(self, header: Header, wanted: list[Variant]) -> Source:
        largest = needed(header.upright, {variant.look for variant in wanted})
        animated = any(_moves(variant, header) for variant in wanted)
        with self._times.of("decode"):
            return open_source(
                self._plan.source, header, largest, self._work_dir, animated=animated
            )

    def _encode_all(
        self, pictures: Iterator[tuple[Variant, Picture]]
    ) -> Iterator[tuple[Variant, Rendition]]:
        """As they come; side by side where the plan allows: encoders release the GIL."""
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
        # One more than may work, as one waits for the disk.
        with ThreadPoolExecutor(self._plan.limits.threads + 1) as pool:
            try:
                # While this thread makes the pictures, it is one of those that work.
                with self._share:
                    work = {pool.submit(self._encode, *each): each[0] for each in pictures}
                for future in as_completed(work):
                    yield work[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _encode(self, variant: Variant, picture: Picture) -> Rendition:
        encoder = registry.load(variant.format)
        with self._writing(variant) as path, self._share:
            started = time.perf_counter()
            _encode_or_explain(
                lambda: encoder.encode(picture, path, variant.settings), variant.format
            )
            seconds = time.perf_counter() - started
        self._times.add("encode", seconds)
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
        """A temporary name, renamed at the end: a file under its own name is whole, and durable."""
        path = self._plan.out_dir / f".{os.getpid()}-{threading.get_ident()}.part"
        try:
            yield path
            with path.open("rb") as file:
                os.fsync(file.fileno())
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
            variant.name, variant.format, size[0], size[1], length, digest, ms(seconds)
        )

    def _note(self, notice: Notice) -> None:
        self._notices[notice] = None

    def _note_header(self, header: Header, wanted: list[Variant]) -> None:
        if not wanted:
            return
        still = sorted({each.format for each in wanted if not _moves(each, header)})
        if header.frames > 1 and header.format == "tiff":
            self._note(Notice("first_page_only", f"Page 1 of {header.frames} was converted."))
        elif header.frames > 1 and still:
            names = ", ".join(still)
            message = f"Frame 1 of {header.frames} was converted to {names}; it does not move."
            self._note(Notice("animation_first_frame", message))

    def _note_source(self, header: Header, source: Source) -> None:
        if source.doubtful:
            message = "The JPEG has bytes left over: parts of the picture may be damaged."
            self._note(Notice("damage_suspected", message))
        if source.alpha_lost:
            message = "The transparency of the HEIC could not be read."
            self._note(Notice("alpha_lost", message))
        if source.is_hdr:
            message = "The picture is HDR; its range was reduced by a simple curve."
            self._note(Notice("hdr_not_mapped", message))
        elif header.gain_map:
            message = "The picture's gain map was dropped; what it adds to an HDR display is lost."
            self._note(Notice("hdr_not_mapped", message))


def _moves(variant: Variant, header: Header) -> bool:
    return is_animated(header) and registry.load(variant.format).animated


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
