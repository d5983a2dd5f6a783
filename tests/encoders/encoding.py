"""Pictures handed straight to an encoder, and what it made of them."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageCms

from encoders import registry
from encoders.picture import Frame, Picture
from encoders.plan import Settings
from tests.encoders.pictures import IMAGES

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf>here</rdf></x:xmpmeta>'


def exif() -> bytes:
    """A TIFF block without prefix, that names its owner."""
    tags = Image.Exif()
    tags[0x8298] = "Ada"
    return tags.tobytes().removeprefix(b"Exif\0\0")


def photo(side: int = 240) -> Image.Image:
    """A real photo of mode RGB."""
    with Image.open(IMAGES / "wil_people.jpg") as image:
        small = image.convert("RGB")
    small.thumbnail((side, side))
    small.info.clear()
    return small


def fading() -> Image.Image:
    """The photo, opaque in the middle and transparent in the corners: mode RGBA."""
    image = photo()
    image.putalpha(ImageChops.invert(Image.radial_gradient("L").resize(image.size)))
    return image


def encode(name: str, folder: Path, picture: Picture | Image.Image, **settings: Any) -> Path:
    """``picture`` as the format ``name``; each call writes another file."""
    if isinstance(picture, Image.Image):
        picture = Picture((Frame(picture),))
    path = folder / f"{len(list(folder.iterdir()))}.{name}"
    registry.load(name).encode(picture, path, Settings(**settings))
    return path


def size_of(path: Path) -> int:
    return path.stat().st_size


def same(one: Image.Image, other: Image.Image) -> bool:
    """Whether every pixel looks the same: hidden colours do not count."""
    one, other = (image.convert("RGBA").convert("RGBa") for image in (one, other))
    return one.size == other.size and one.tobytes() == other.tobytes()
