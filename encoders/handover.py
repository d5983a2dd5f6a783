"""What each format can take of a source: colours, frames, transparency, metadata."""

from collections.abc import Callable
from dataclasses import replace

from PIL import Image as Pillow

from encoders import registry
from encoders.color import describes_rgb
from encoders.finish import flatten
from encoders.look import Look
from encoders.metadata import kept
from encoders.picture import Frame, Picture
from encoders.plan import Notice, Variant
from encoders.source import Source


class Handover:
    """Fits finished frames of one source to encoders; ``note`` hears what had to give way."""

    def __init__(self, source: Source, note: Callable[[Notice], None]) -> None:
        self._source = source
        self._note = note

    def look(self, variant: Variant) -> Look:
        """The variant's look; its colours are kept only where source and format allow it."""
        if variant.look.color_profile != "keep":
            return variant.look
        source = self._source
        embeds = "profile" in registry.load(variant.format).embeds
        is_fit = source.profile is None or describes_rgb(source.profile)
        if embeds and source.is_rgb and is_fit:
            return variant.look
        message = f"{variant.format} could not keep the colours as they are; they are sRGB."
        self._note(Notice("profile_not_kept", message))
        return replace(variant.look, color_profile="srgb")

    def picture(self, variant: Variant, look: Look, frames: tuple[Frame, ...]) -> Picture:
        """What the variant's encoder is given of the finished ``frames`` of ``look``."""
        encoder = registry.load(variant.format)
        for setting in sorted(set(variant.asked) - encoder.settings):
            self._note(Notice("setting_ignored", f"{variant.format} has no use for {setting}."))
        if not encoder.animated:
            frames = (Frame(frames[0].image),)
        if frames[0].image.mode == "RGBA" and not encoder.alpha:
            frames = tuple(Frame(flatten(each.image, look), each.duration_ms) for each in frames)
            message = f"{variant.format} has no transparency; it was put on the background."
            self._note(Notice("alpha_flattened", message))
        is_srgb = look.color_profile == "srgb"
        exif, xmp = self._metadata(variant, frames[0].image.size, is_srgb=is_srgb)
        profile = None if is_srgb else self._source.profile
        return Picture(tuple(map(_own, frames)), self._source.loop, profile, exif, xmp)

    def _metadata(
        self, variant: Variant, size: tuple[int, int], *, is_srgb: bool
    ) -> tuple[bytes | None, bytes | None]:
        """EXIF and XMP for a finished picture of ``size``: none, unless the client asked."""
        if variant.metadata == "strip":
            return None, None
        source = self._source
        embeds = registry.load(variant.format).embeds
        exif, xmp, notices = kept(source.exif, source.xmp, variant.metadata, size, srgb=is_srgb)
        for notice in notices:
            self._note(notice)
        return exif if "exif" in embeds else None, xmp if "xmp" in embeds else None


def _own(frame: Frame) -> Frame:
    """The same pixels as a picture of its own: Pillow's ``save`` keeps its options on the picture,
    where an encoder on another thread would find them."""
    image = Pillow.Image()
    image.__dict__.update(frame.image.__dict__, info={})
    return Frame(image, frame.duration_ms)
