"""Names of outputs: made from the content's reference, the upload's name and the requested box.

{reference}_{stem}_{height}_{width}_.{ext}    a size
{reference}_{stem}_{name}.{ext}               a size that has a name
{reference}_{stem}.{ext}                      the native size, or the kept original
"""

import re
import unicodedata

MAX_STEM = 40
FALLBACK_STEM = "image"
# `{hash}` with the stem `1_x` would make the names of `{hash}_1` with the stem `x`.
_LIKE_A_REFERENCE = re.compile(r"([0-9]+)_")
REFERENCE = re.compile(r"[0-9a-f]{64}(?:_[1-9][0-9]{0,8})?")


def safe_stem(upload_name: str) -> str:
    """ASCII letters, digits, `-` and `_` of the upload's name without its extension, at most 40."""
    base = upload_name.replace("\\", "/").rsplit("/", 1)[-1]
    stem = base.rsplit(".", 1)[0] if "." in base.lstrip(".") else base
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^A-Za-z0-9_]+", "-", plain)[:MAX_STEM].strip("-_") or FALLBACK_STEM
    number = _LIKE_A_REFERENCE.match(safe)
    return f"{number[1]}-{safe[number.end() :]}" if number else safe


def output_name(
    reference: str,
    stem: str,
    extension: str,
    box: tuple[int, int] | None,
    name: str | None = None,
) -> str:
    """The file name of one output; `box` is (width, height) as requested, None the native size."""
    if name is not None:
        # `{hash}` with the stem `1` and the name `x` would be `{hash}_1` with the stem `x`.
        stem = f"{FALLBACK_STEM}-{stem}" if stem.isdecimal() else stem
        return f"{reference}_{stem}_{name}.{extension}"
    if box is None:
        return f"{reference}_{stem}.{extension}"
    width, height = box
    return f"{reference}_{stem}_{height}_{width}_.{extension}"


def object_key(sub_dir: str, name: str) -> str:
    """Where an output lives below a destination's root."""
    return f"{sub_dir}/{name}" if sub_dir else name
