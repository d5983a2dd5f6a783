"""The page of one job, and of one callback."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs.admin.job_page import timing_bars
from jobs.admin.wishes import _WORDS, asked_outputs
from jobs.advice import ADVICE, GONE
from jobs.models import Callback, CallbackAttempt, CallbackState, Event, Failure, HostedFile, Job
from jobs.spec_format import SettingsSpec, SizeSpec
from jobs.states import State
from tests.admin.conftest import HOSTILE, MakeJob, host
from tests.jobs.making import owe
from tests.jobs.specs import EVERYTHING
from tests.server import EXAMPLE_JOB


def page(client: Client, job: Job) -> str:
    answer = client.get(f"/admin/jobs/job/{job.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def called_back(job: Job, **fields: Any) -> Callback:
    callback = owe(job, sealed_headers="sealed-bytes", **fields)
    CallbackAttempt.objects.create(
        callback=callback, number=1, status=503, duration_s=0.25, error="http_503"
    )
    CallbackAttempt.objects.create(
        callback=callback, number=2, status=None, duration_s=1, error="connect_failed: refused"
    )
    return callback


def test_renditions_with_thumbnail_size_and_link(staff: Client, make_job: MakeJob) -> None:
    job = make_job()
    shown = host(job, "a.jpg", content=b"x" * 2048, width=800, height=450)
    text = page(staff, job)
    assert f'<img src="/files/{shown.key}"' in text
    assert f'<a class="px-link px-file" href="/files/{shown.key}"' in text
    assert "800 × 450" in text
    assert "2.0\xa0KB" in text


def test_no_thumbnail_of_what_is_gone_another_job_s_or_no_picture_for_browsers(
    staff: Client, make_job: MakeJob
) -> None:
    job, newer = make_job(), make_job()
    removed = host(job, "removed.jpg", removed_at=timezone.now())
    HostedFile.objects.filter(path=removed.key).delete()
    replaced = host(job, "replaced.jpg", superseded=True)
    HostedFile.objects.filter(path=replaced.key).update(job=newer)
    heic = host(job, "photo.heic", format="original")
    HostedFile.objects.filter(path=heic.key).update(media_type="image/heic")
    large = host(job, "large.jpg")
    HostedFile.objects.filter(path=large.key).update(bytes=50 * 2**20)
    text = page(staff, job)
    assert "<img src" not in text
    assert 'px-removed">removed' in text
    assert 'px-superseded">superseded' in text
    links = [
        row.key for row in (removed, replaced, heic, large) if f'href="/files/{row.key}"' in text
    ]
    assert links == [heic.key, large.key]


def test_a_failed_job_says_why(staff: Client, make_job: MakeJob) -> None:
    job = make_job(
        State.FAILED,
        error_code="damaged_picture",
        error_message="It ends too early.",
        attempts=2,
        crashes=1,
        warnings=[{"code": "first_frame", "message": "Only the first frame was used."}],
    )
    Failure.objects.create(
        job=job,
        reference=job.reference,
        subject=job.subject,
        job_data={},
        code="worker_lost",
        message="An earlier end.",
    )
    text = page(staff, job)
    for expected in (
        "damaged_picture",
        "It ends too early.",
        "Only the first frame was used.",
        "An earlier end.",
        "2, 1 crashed",
        "None were made.",
    ):
        assert expected in text


def test_a_dead_letter_says_what_can_be_done_and_until_when(
    staff: Client, make_job: MakeJob
) -> None:
    kept = make_job(State.FAILED, error_code="disk_full")
    gone = make_job(State.FAILED, error_code="disk_full", has_source=False)
    text = page(staff, kept)
    assert ADVICE["disk_full"] in text
    assert "kept for a replay until" in text
    assert ">Replay</button>" in text
    text = page(staff, gone)
    assert GONE in text
    assert "no longer kept: it cannot be replayed" in text
    assert ">Replay</button>" not in text


def test_callbacks_with_their_attempts_and_never_their_headers(
    staff: Client, make_job: MakeJob
) -> None:
    job = make_job(
        spec={**EXAMPLE_JOB, "completionCallback": "https://a.example/hook"},
        sealed_headers="sealed-bytes",
    )
    callback = called_back(job, state=CallbackState.GIVEN_UP)
    own = staff.get(f"/admin/jobs/callback/{callback.pk}/change/").content.decode()
    for text in (page(staff, job), own):
        for expected in ("503", "http_503", "connect_failed: refused", "0.25 s", "Given up"):
            assert expected in text
        assert "kept sealed" in text
        assert "sealed-bytes" not in text
    assert job.reference_id in own


def test_hostile_text_stays_text(staff: Client, make_job: MakeJob) -> None:
    job = make_job(
        State.FAILED,
        upload_name=HOSTILE,
        subject=HOSTILE,
        error_code="x",
        error_message=HOSTILE,
        warnings=[{"code": HOSTILE, "message": HOSTILE}],
        spec={
            "formats": {
                HOSTILE: {"sizes": [[1, 1]], "settings": {"quality": HOSTILE}},
                "jpg": {"watermark": {"text": HOSTILE}, "flip": HOSTILE, "trim": HOSTILE},
            },
            "storageKeys": {"s3": HOSTILE},
            "completionCallback": HOSTILE,
            "subDir": HOSTILE,
        },
        timings={HOSTILE: 1.0, "decode": 1.0},
    )
    callback = called_back(job)
    Callback.objects.filter(pk=callback.pk).update(url=HOSTILE)
    Event.objects.filter(pk=callback.event_id).update(type=HOSTILE, payload=[HOSTILE])
    for text in (
        page(staff, job),
        staff.get(f"/admin/jobs/callback/{callback.pk}/change/").content.decode(),
    ):
        assert "&lt;script&gt;" in text
        assert HOSTILE not in text


def test_queries_do_not_grow_with_renditions_and_attempts(staff: Client, make_job: MakeJob) -> None:
    small, large = make_job(), make_job()
    host(small)
    called_back(small)
    for number in range(8):
        host(large, f"{number}.jpg")
        called_back(large)
    counts = []
    for job in (small, large):
        with CaptureQueriesContext(connection) as queries:
            page(staff, job)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 14


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"formats": {"jpg": {}}}, [("jpg", "native size", 80, 6, "")]),
        (
            {"formats": {"webp": {"settings": {"quality": 9, "speed": 1}, "sizes": [[8], [8, 6]]}}},
            [("webp", "8 × 8", 9, 1, ""), ("webp", "8 × 6", 9, 1, "")],
        ),
        ({"keepOriginal": True}, [("original", "as uploaded", "—", "—", "")]),
    ],
)
def test_instructions_in_words(spec: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert [tuple(row.values()) for row in asked_outputs(spec)] == expected


def test_every_option_has_words(staff: Client, make_job: MakeJob) -> None:
    fields = {
        field.alias for model in (SizeSpec, SettingsSpec) for field in model.model_fields.values()
    }
    assert fields - {"quality", "speed", "box", "name", "fit"} == set(_WORDS)
    first, _, thumb, full = asked_outputs(EVERYTHING)
    assert first["size"] == "80 × 60, cover"
    assert first["also"] == (
        "progressive, chroma 4:4:4, 64 colours, rotated by 90°, flipped both ways, border trimmed"
        " (tolerance 10), towards north-east, enlarged if small, background #f80, grey,"
        " blurred by 0.5, sharpened by 1, watermark “© two\nlines” (font DejaVu Serif, size 14,"
        " color #ff000080, opacity 1, gravity north, margin 3), metadata: copyright"
    )
    assert thumb["size"] == "20 × 20, cover (“Thumb-1”)"
    assert "watermark" not in thumb["also"]
    assert full["size"] == "native size (“full”)"
    text = page(staff, make_job(spec=EVERYTHING))
    assert "rotated by 90°" in text


def test_timing_bars_fill_the_width_in_the_order_of_time() -> None:
    bars = timing_bars({"deliver": 25.0, "queued": 50, "encode": 25.0, "total": 99, "cpu": 12})
    assert [(bar["name"], bar["x"], bar["width"]) for bar in bars] == [
        ("queued", "0.00", "50.00"),
        ("encode", "50.00", "25.00"),
        ("deliver", "75.00", "25.00"),
    ]
    assert timing_bars({}) == []
