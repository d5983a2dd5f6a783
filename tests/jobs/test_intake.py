"""Accepting: one row and a reference, or nothing at all."""

import pytest
from django.db import IntegrityError, connection, transaction

from credentials import resolver
from credentials.sealing import unseal
from encoders.look import Look
from encoders.plan import Settings
from jobs import intake, spec
from jobs.errors import Conflict, InvalidSpec
from jobs.models import HostedFile, Job, Reference
from jobs.retention import prune_jobs
from tests.jobs.making import DOT, SMALL_JOB, make_job, picture, put_in_state, stage

pytestmark = [pytest.mark.sql, pytest.mark.django_db(transaction=True)]


def test_what_is_stored() -> None:
    job = {**SMALL_JOB, "callbackHeaders": {"X-Key": "hush"}, "priority": 3}
    made = make_job("ann", DOT, job, name="a b.png")
    stored = Job.objects.get()
    assert stored.pk == made.pk
    assert (stored.state, stored.priority, stored.total) == ("pending", 3, 1)
    assert (stored.upload_name, stored.stem) == ("a b.png", "a-b")
    assert (stored.source_bytes, stored.source_format) == (len(DOT), "png")
    assert stored.spec == {**SMALL_JOB, "priority": 3}


def test_callback_headers_are_sealed_for_this_job() -> None:
    headers = {"X-Key": "hush"}
    job = make_job(job={**SMALL_JOB, "callbackHeaders": headers})
    assert "hush" not in job.sealed_headers
    assert unseal(job.sealed_headers, purpose=intake.headers_purpose(job.uid)) == headers
    assert make_job("bob").sealed_headers == ""


def test_secrets_are_nowhere_in_the_database() -> None:
    make_job(job={**SMALL_JOB, "callbackHeaders": {"X-Key": "hush-secret"}})
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM jobs_job")
        assert "hush-secret" not in repr(cursor.fetchall())


def test_outputs_are_in_the_tokens_order_the_original_last() -> None:
    job = spec.parse(
        {
            "keepOriginal": True,
            "directHost": True,
            "formats": {"webp": {"sizes": [[9, 8]]}, "jpeg": {"sizes": [[7], [6, 5]]}, "png": {}},
        }
    )
    found = intake.outputs(job, "ref", "x", "jpeg")
    assert [(each.name, each.format, each.look.box) for each in found] == [
        ("ref_x_8_9_.webp", "webp", (9, 8)),
        ("ref_x_7_7_.jpg", "jpg", (7, 7)),
        ("ref_x_5_6_.jpg", "jpg", (6, 5)),
        ("ref_x.png", "png", None),
        ("ref_x.jpg", "original", None),
    ]


@pytest.mark.parametrize(("source", "clash"), [("jpeg", True), ("png", False)])
def test_the_original_beside_a_native_size(source: str, clash: bool) -> None:
    job = spec.parse({"keepOriginal": True, "directHost": True, "formats": {"jpeg": {}}})
    if not clash:
        assert len(intake.outputs(job, "ref", "x", source)) == 2
        return
    with pytest.raises(InvalidSpec) as caught:
        intake.outputs(job, "ref", "x", source)
    assert caught.value.code == "name_taken"


def test_a_name_tells_a_native_size_from_the_original() -> None:
    formats = {"jpeg": {"sizes": [{"name": "full"}], "rotate": 90}}
    job = spec.parse({"keepOriginal": True, "directHost": True, "formats": formats})
    found = intake.outputs(job, "ref", "x", "jpeg")
    assert [each.name for each in found] == ["ref_x_full.jpg", "ref_x.jpg"]


def test_an_output_has_all_that_the_token_says() -> None:
    jpg, png = intake.outputs(
        spec.parse(
            {
                "directHost": True,
                "formats": {
                    "jpg": {
                        "settings": {"quality": 50, "colors": 8},
                        "metadata": "keep",
                        "sizes": [{"box": [8, 6], "fit": "cover", "colorProfile": "keep"}],
                    },
                    "png": {},
                },
            }
        ),
        "ref",
        "x",
        "jpeg",
    )
    assert jpg.look == Look((8, 6), fit="cover", color_profile="keep")
    assert (jpg.metadata, jpg.asked) == ("keep", ("colors", "quality"))
    assert (jpg.settings.quality, jpg.settings.speed, jpg.settings.colors) == (50, 6, 8)
    assert (png.look, png.metadata, png.asked, png.settings) == (Look(), "strip", (), Settings())


def test_a_conflict_stores_nothing() -> None:
    make_job()
    with pytest.raises(Conflict):
        make_job()
    assert (Job.objects.count(), Reference.objects.count()) == (1, 1)


@pytest.mark.parametrize("state", ["created", "pending", "processing"])
def test_in_flight_states_block_a_second(state: str) -> None:
    put_in_state(make_job(), state)
    with pytest.raises(Conflict):
        make_job()


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_ended_states_do_not(state: str) -> None:
    put_in_state(make_job(), state)
    assert make_job().pk


def test_the_database_itself_refuses_two_in_flight() -> None:
    job = make_job()
    twin = Job.objects.get(pk=job.pk)
    twin.pk, twin.uid = None, stage().uid
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save(force_insert=True)


def test_references_are_given_once_each() -> None:
    names = {who: make_job(who).reference_id for who in ("ann", "bob", "cid")}
    plain = names["ann"]
    assert names == {"ann": plain, "bob": f"{plain}_1", "cid": f"{plain}_2"}
    put_in_state(Job.objects.get(subject="bob"), "completed")
    assert make_job("bob").reference_id == names["bob"]


def test_other_contents_have_other_references() -> None:
    assert make_job("ann", picture(1)).reference_id != make_job("ann", picture(2)).reference_id


def test_a_freed_name_is_given_anew_and_a_used_one_is_not(configure: object) -> None:
    ann, bob = make_job("ann"), make_job("bob")
    HostedFile.objects.create(
        path="x", reference=bob.reference, sha256="0", bytes=1, mtime_ns=1, media_type="image/png"
    )
    Job.objects.all().delete()
    prune_jobs()
    assert list(Reference.objects.values_list("name", flat=True)) == [bob.reference_id]
    assert make_job("cid").reference_id == ann.reference_id
    assert make_job("dan").reference_id == f"{ann.reference_id}_2"


def test_unknown_storage_keys_are_named() -> None:
    job = spec.parse({"formats": {"jpg": {}}, "storageKeys": {"s3": "nobody's"}})
    with pytest.raises(InvalidSpec) as caught:
        intake.check_destinations(job, "ann")
    assert (caught.value.code, caught.value.field) == ("unknown_storage_key", "job.storageKeys.s3")


@pytest.mark.parametrize("key", ["nul \0", "white space", ""])
def test_what_can_be_no_storage_key_is_unknown(key: str) -> None:
    with pytest.raises(resolver.UnknownCredential):
        resolver.require("s3", key, subject="ann")


def test_instructions_come_back_as_they_were_sent() -> None:
    text = {"text": "über 😀"}
    formats = {"webp": {"watermark": text}, "png": {}, "jpg": {}}
    made = make_job(job={"formats": formats, "directHost": True})
    stored = Job.objects.get().spec
    assert list(stored["formats"]) == ["webp", "png", "jpg"]
    assert stored == made.spec
