"""The border of a picture: what has, from the edges in, the colour of its top left corner."""

from PIL import Image as Pillow

Box = tuple[int, int, int, int]


def content_box(image: Pillow.Image, tolerance: int) -> Box | None:
    """Left, top, right, bottom of what is not border; None where all of it is.

    A pixel is content if any channel, opacity included, differs from the corner's by more than
    ``tolerance`` (0 to 255). The colour of what cannot be seen does not count: RGBA is compared
    with its colours multiplied by their opacity. Channels are looked at one by one, so that this
    takes two bytes a pixel.
    """
    if image.mode == "RGBA":
        image = image.convert("RGBa")
    found: Box | None = None
    for index in range(len(image.getbands())):
        band = image.getchannel(index)
        [corner] = band.crop((0, 0, 1, 1)).tobytes()
        far = [255 if abs(value - corner) > tolerance else 0 for value in range(256)]
        found = _around(found, band.point(far).getbbox())
    return found


def _around(one: Box | None, other: Box | None) -> Box | None:
    if one is None or other is None:
        return one or other
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )
