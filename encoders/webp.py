"""WebP, written by Pillow, whose libwebp is newer than the one ImageMagick is linked to."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.picture import Picture
    from encoders.plan import Settings

_METHODS = (6, 5, 4, 4, 4, 2, 2, 2, 1, 1, 0)
"""libwebp method by speed. A photo of 800 x 653, quality 85: method 6 200 ms, 5 75 ms, 4 69 ms,
2 30 ms (same bytes as 4), 1 23 ms, 0 19 ms (28 % more bytes). 3 costs as much as 4."""

_LOSSLESS_EFFORT = 75
"""libwebp calls the effort of lossless "quality". A photo of 300 x 169, method 4: 50 46 ms, 80 50
ms, 100 210 ms, all within 0.4 % of bytes; method 6 103, 105, 1872 ms. Method 0: 4 ms, 19 % more."""

_ALPHA_QUALITY = 100
"""The transparency is kept as it is."""

_LONGEST_FRAME = (1 << 24) - 1
_LAST_TIME = (1 << 31) - 1
_MOST_LOOPS = (1 << 16) - 1
"""What WebP (RFC 9649, section 2.7.1.1) and libwebp's clock can hold; ms, ms, runs."""

_EXTENDED, _FLAGS, _ALPHA_FLAG = slice(12, 16), 20, 0x10

_OUT_OF_MEMORY = frozenset({"1", "2"})
_REASONS = {
    "5": "a side is longer than the 16383 pixels that WebP can hold",
    "6": "the picture has more detail than WebP can hold at this size",
    "7": "the picture has more detail than WebP can hold at this size",
}
"""WebPEncodingError of libwebp's encode.h."""


class Webp:
    """Lossy WebP with lossless alpha, or all of it ``lossless``; still or animated.

    ``quality`` is libwebp's, 1 to 100; it has no meaning where ``lossless`` is asked for. Speed
    0-10 is method 6-0 for both kinds (see ``_METHODS``). Animations keep frames and times;
    libwebp joins a frame to the one before if they are the same.
    """

    name = "webp"
    extension = "webp"
    media_type = "image/webp"
    settings = frozenset({"quality", "speed", "lossless"})
    alpha = True
    animated = True
    embeds = frozenset({"profile", "exif", "xmp"})

    def encode(self, picture: "Picture", path: Path, settings: "Settings") -> None:
        """See ``encoders.encoder.Encoder``."""
        buffer = io.BytesIO()
        try:
            picture.image.save(
                buffer,
                "WEBP",
                method=_METHODS[settings.speed],
                lossless=settings.lossless,
                quality=_LOSSLESS_EFFORT if settings.lossless else settings.quality,
                alpha_quality=_ALPHA_QUALITY,
                icc_profile=picture.profile or b"",
                exif=picture.exif or b"",
                xmp=picture.xmp or b"",
                **_motion(picture),
            )
        except ValueError as error:
            raise _explained(error) from error
        if picture.image.mode == "RGBA":
            admit_transparency(buffer.getbuffer())
        path.write_bytes(buffer.getbuffer())


def admit_transparency(data: bytearray | memoryview) -> None:
    """Set the alpha flag of an extended WebP (RFC 9649, section 2.7).

    libwebp leaves it out of an animation whose frames are opaque but smaller than the canvas,
    which is transparent around them; then Pillow, for one, shows black there.
    """
    if bytes(data[_EXTENDED]) == b"VP8X":
        data[_FLAGS] |= _ALPHA_FLAG


def _motion(picture: "Picture") -> dict[str, Any]:
    """Pillow's words for an animation."""
    if len(picture.frames) == 1:
        return {}
    longest = min(_LONGEST_FRAME, _LAST_TIME // len(picture.frames))
    return {
        "save_all": True,
        "append_images": [frame.image for frame in picture.frames[1:]],
        "duration": [min(frame.duration_ms, longest) for frame in picture.frames],
        "loop": min(picture.loop, _MOST_LOOPS),
    }


def _explained(error: ValueError) -> Exception:
    """libwebp gives a number; a person wants words."""
    number = str(error).rpartition(" ")[2]
    if number in _OUT_OF_MEMORY:
        return MemoryError()
    return ValueError(_REASONS.get(number, str(error)))
