"""What the page of one job shows: instructions, renditions, timings, mishaps, callbacks."""

import json
from typing import Any
from urllib.parse import quote

from django.urls import reverse

from jobs import dead_letters, deliveries, links
from jobs.admin.actions import ACTIONS
from jobs.admin.base import elapsed, span
from jobs.admin.wishes import asked_outputs
from jobs.advice import advice
from jobs.models import HostedFile, Job, Rendition
from jobs.spec import destinations_of

SHOWN_BY_BROWSERS = {"image/jpeg", "image/png", "image/webp", "image/avif", "image/gif"}
LARGEST_THUMBNAIL = 5 * 2**20
MOST_RECORDS = 20
# The parts that follow each other in time; `total` and `cpu` are measures of all conversion.
STEPS = ("queued", "decode", "resize", "encode", "deliver")


def destinations(spec: dict[str, Any]) -> list[str]:
    """Where the outputs go, in words."""
    hosted = ["hosted here"] if spec.get("directHost") else []
    stored = destinations_of(spec.get("storageKeys", {}))
    return hosted + [f"{kind}: {key}" for kind, key in stored]


def timing_bars(timings: dict[str, float]) -> list[dict[str, Any]]:
    """One bar for each step: its name, its duration in words, offset and width in percent."""
    steps = [(name, max(0.0, float(timings[name]))) for name in STEPS if name in timings]
    whole = sum(length for _, length in steps) or 1.0
    bars, offset = [], 0.0
    for name, length in steps:
        share = 100 * length / whole
        # SVG wants a point whatever the locale says.
        bar = {"name": name, "ms": f"{length:.1f}", "x": f"{offset:.2f}", "width": f"{share:.2f}"}
        bars.append(bar)
        offset += share
    return bars


def _thumbnail(hosted: HostedFile) -> bool:
    return hosted.media_type in SHOWN_BY_BROWSERS and hosted.bytes <= LARGEST_THUMBNAIL


def _mark(rendition: Rendition, mine: bool) -> str:
    if rendition.removed_at is not None:
        return "removed"
    if rendition.superseded:
        return "superseded"
    return "hosted" if mine else "not hosted"


def _file_url(hosted: HostedFile) -> str:
    return reverse("file", args=[hosted.path]) + (
        links.query(hosted.path) if hosted.private else ""
    )


def deliveries_of(job: Job) -> list[dict[str, Any]]:
    """Each rendition at each storage, with the link that staff may follow."""
    if not job.spec.get("storageKeys"):
        return []
    rows = list(deliveries.of(job).select_related("rendition"))
    urls = links.object_urls(job, rows, signed=True)
    return [{"row": row, "url": urls.get(row.pk) or ""} for row in rows]


def renditions(job: Job) -> list[dict[str, Any]]:
    """The job's files, each with its mark and, where the file is its own, link and thumbnail."""
    rows = list(job.renditions.order_by("id"))
    lying = HostedFile.objects.filter(job=job).in_bulk(field_name="path")
    found = []
    for row in rows:
        hosted = lying.get(row.key)
        url = _file_url(hosted) if hosted else ""
        found.append(
            {
                "row": row,
                "mark": _mark(row, hosted is not None),
                "url": url,
                "thumbnail": url if hosted and _thumbnail(hosted) else "",
                "encode": f"{row.encode_ms:.0f} ms",
            }
        )
    return found


def callbacks(job: Job) -> list[Any]:
    """The newest callbacks with their attempts."""
    return list(
        job.callbacks.select_related("event")
        .prefetch_related("attempts")
        .order_by("-id")[:MOST_RECORDS]
    )


def context(job: Job) -> dict[str, Any]:
    """Everything that `admin/jobs/job.html` shows."""
    return {
        "job": job,
        "took": elapsed(job.created_at, job.finished_at),
        "waited": span(job.claimed_at - job.created_at) if job.claimed_at else "—",
        "buttons": [action for action in ACTIONS.values() if action.suits(job)],
        "asked": list(asked_outputs(job.spec)),
        "destinations": destinations(job.spec),
        "instructions": json.dumps(job.spec, indent=2, ensure_ascii=False),
        "status_url": f"{reverse('status')}?hash={quote(job.reference_id)}",
        "bars": timing_bars(job.timings),
        "renditions": renditions(job),
        "deliveries": deliveries_of(job),
        "advice": advice(job.error_code, replayable=job.has_source),
        "kept_until": dead_letters.kept_until(job),
        "failures": list(job.failures.order_by("-id")[:MOST_RECORDS]),
        "callbacks": callbacks(job),
    }
