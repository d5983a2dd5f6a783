"""What a plan will take, from the header of its source alone."""

from encoders import registry
from encoders.errors import PictureError
from encoders.geometry import Size, layout
from encoders.header import Header
from encoders.limits import Need, Output, need
from encoders.looks import needed
from encoders.plan import ORIGINAL, Plan, Variant

SIDEWAYS = frozenset({90, 270})
_OVERSIZE = 2.5
"""A JPEG is decoded at a step not below 1.25 times what is needed, and each is twice the last."""
_TRIED_ANYWAY_S = 60.0
"""What little is predicted is left to the deadline, which is certain."""


def forecast(plan: Plan, header: Header) -> Need:
    """Memory and CPU time that the conversion needs; nothing for byte copies.

    Raises PictureError conversion_timeout where the time it needs at the least is not allowed.
    """
    wanted = [each for each in plan.variants if each.format != ORIGINAL]
    outputs = [_output(each, header) for each in wanted]
    found = need(header, _decoded(header, wanted), outputs, plan.limits.threads)
    if found.cpu_s > max(_TRIED_ANYWAY_S, plan.limits.timeout_s * plan.limits.threads):
        raise PictureError(
            "conversion_timeout",
            f"The conversion would take {found.cpu_s:.0f} s or longer; "
            f"{plan.limits.timeout_s:g} s are allowed.",
        )
    return found


def _output(variant: Variant, header: Header) -> Output:
    """As large as it can get: a trim makes it smaller."""
    look = variant.look
    upright = header.upright[::-1] if look.rotate in SIDEWAYS else header.upright
    laid = layout(upright, look.box, look.fit, look.gravity, enlarge=look.enlarge)
    moving = header.format != "tiff" and registry.load(variant.format).animated
    frames = header.frames if moving else 1
    return Output(variant.format, *laid.canvas, frames, variant.settings.speed)


def _decoded(header: Header, wanted: list[Variant]) -> Size:
    """The size after the decoder, which shrinks JPEG."""
    if not wanted:
        return 0, 0
    if header.format != "jpeg":
        return header.width, header.height
    width, height = needed(header.upright, {variant.look for variant in wanted})
    return (
        min(header.upright[0], int(_OVERSIZE * width)),
        min(header.upright[1], int(_OVERSIZE * height)),
    )
