"""One process for each output: `vipsthumbnail`, or ImageMagick with `cwebp` and `avifenc`.

Arguments: "vipsthumbnail", or the name of ImageMagick's command ("magick" or "convert").
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.engine.programs.serve import Job, is_animated, serve


def by_vipsthumbnail(source: str, output: dict[str, Any]) -> None:
    effort, kind = output["effort"] or 0, output["format"]
    quality = f"Q={output['quality']},strip"
    options = {
        "jpg": f"{quality},optimize_coding",
        "webp": f"{quality},effort={effort}",
        "avif": f"{quality},compression=av1,effort={9 - effort},subsample_mode=on",
        "png": f"compression={effort},strip",
    }[kind]
    run("vipsthumbnail", source, "-s", f"{output['width']}x{output['height']}>",
        "-o", f"{output['path']}[{options}]")  # fmt: skip


def by_magick(command: str, source: str, output: dict[str, Any]) -> None:
    path, kind = output["path"], output["format"]
    quality, effort = str(output["quality"]), str(output["effort"])
    box = f"{output['width']}x{output['height']}>"
    if kind in {"webp", "avif"} and not is_animated({"source": source}):
        small = f"{path}.png"
        jpeg_size = f"jpeg:size={2 * output['width']}x{2 * output['height']}"
        run(command, "-define", jpeg_size, source, "-auto-orient", "-resize", box, "-strip",
            "-define", "png:compression-level=1", small)  # fmt: skip
        if kind == "webp":
            run("cwebp", "-quiet", "-q", quality, "-m", effort, small, "-o", path)
        else:
            run("avifenc", *_avif_quality(output["quality"]), "-s", effort, "-y", "420", "-j", "1",
                small, path)  # fmt: skip
        Path(small).unlink()
        return
    jpeg_size = f"jpeg:size={output['width']}x{output['height']}"
    coalesce = ["-coalesce"] if is_animated({"source": source}) else []
    setting = ["-define", f"png:compression-level={effort}"] if kind == "png" else []
    run(command, "-define", jpeg_size, source, *coalesce, "-auto-orient", "-resize", box,
        "-strip", *setting, *([] if kind == "png" else ["-quality", quality]), path)  # fmt: skip


def _avif_quality(quality: int) -> list[str]:
    """What ``-q`` is to avifenc 1.0 and later, in words that older ones know."""
    level = round((100 - quality) * 63 / 100)
    return ["--min", "0", "--max", "63", "-a", "end-usage=q", "-a", f"cq-level={level}"]


def run(*arguments: str) -> None:
    """Run one command. Raises RuntimeError with its own words."""
    done = subprocess.run(arguments, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments[0]}: {done.stderr.decode(errors='replace')[-200:]}")


def main(command: str) -> None:
    def work(job: Job) -> None:
        for output in job["outputs"]:
            if command == "vipsthumbnail":
                by_vipsthumbnail(job["source"], output)
            else:
                by_magick(command, job["source"], output)

    serve(work)


if __name__ == "__main__":
    main(sys.argv[1])
