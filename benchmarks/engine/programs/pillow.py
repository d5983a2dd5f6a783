"""Pillow alone: one decode (JPEG shrunk on load), then `thumbnail` and `save` for each output."""

from typing import Any

from PIL import Image, ImageSequence

from benchmarks.engine.programs.serve import Job, is_animated, largest, serve

Image.MAX_IMAGE_PIXELS = None


def work(job: Job) -> None:
    with Image.open(job["source"]) as source:
        if is_animated(job):
            for output in job["outputs"]:
                save_animation(source, output)
            return
        source.draft("RGB", largest(job))
        source.load()
        for output in job["outputs"]:
            image = source.copy()
            image.thumbnail((output["width"], output["height"]), Image.Resampling.LANCZOS)
            save(image, output)


def save(image: Image.Image, output: dict[str, Any]) -> None:
    path, quality, effort = output["path"], output["quality"], output["effort"]
    if output["format"] == "jpg":
        image.save(path, "JPEG", quality=quality, optimize=True)
    elif output["format"] == "webp":
        image.save(path, "WEBP", quality=quality, method=effort)
    elif output["format"] == "avif":
        image.save(path, "AVIF", quality=quality, speed=effort, max_threads=1)
    else:
        image.save(path, "PNG", compress_level=effort)


def save_animation(source: Image.Image, output: dict[str, Any]) -> None:
    frames, durations = [], []
    for frame in ImageSequence.Iterator(source):
        image = frame.convert("RGB")
        image.thumbnail((output["width"], output["height"]), Image.Resampling.LANCZOS)
        frames.append(image)
        durations.append(frame.info["duration"])
    frames[0].save(
        output["path"],
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=output["quality"],
        method=output["effort"],
    )


if __name__ == "__main__":
    serve(work)
