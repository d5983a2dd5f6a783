"""pyvips: one decode, brought to the largest size; every output is made from that."""

from typing import Any

import pyvips

from benchmarks.engine.programs.serve import Job, is_animated, largest, serve


def work(job: Job) -> None:
    if is_animated(job):
        for output in job["outputs"]:
            width, height = output["width"], output["height"]
            animation = pyvips.Image.thumbnail(f"{job['source']}[n=-1]", width, height=height)
            save(animation, output)
        return
    width, height = largest(job)
    base = pyvips.Image.thumbnail(job["source"], width, height=height, size="down").copy_memory()
    for output in job["outputs"]:
        size = {"height": output["height"], "size": "down"}
        save(base.thumbnail_image(output["width"], **size), output)


def save(image: Any, output: dict[str, Any]) -> None:
    path, quality, effort = output["path"], output["quality"], output["effort"]
    if output["format"] == "jpg":
        image.jpegsave(path, Q=quality, optimize_coding=True, keep="none")
    elif output["format"] == "webp":
        image.webpsave(path, Q=quality, effort=effort, keep="none")
    elif output["format"] == "avif":
        image.heifsave(
            path, Q=quality, compression="av1", effort=9 - effort, subsample_mode="on", keep="none"
        )
    else:
        image.pngsave(path, compression=effort, keep="none")


if __name__ == "__main__":
    # A repeated job must not be answered from the cache of operations.
    pyvips.cache_set_max(0)
    serve(work)
