"""The ruler of the benchmark measures what it says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from benchmarks.engine import pictures
from benchmarks.engine.quality import similarity, ssim
from benchmarks.engine.table import ratio
from benchmarks.queue.fill import grow
from encoders.plan import Rendition as Made
from jobs import outcomes
from jobs.models import Event, HostedFile, Job, Rendition, Success
from jobs.outcomes import Product, Published
from tests.encoders.pictures import IMAGES, opened
from tests.jobs.making import claim, make_job

PHOTO = IMAGES / "imn_large.jpg"


def test_a_plane_is_like_itself_and_less_like_a_shifted_one() -> None:
    plane = np.asarray(opened(PHOTO, "L").resize((200, 112)), dtype=np.float64)
    assert ssim(plane, plane) == pytest.approx(1)
    assert ssim(plane, np.roll(plane, 1, axis=1)) < 0.9


def test_ssim_of_flat_planes_is_its_formula() -> None:
    one, other = np.full((20, 20), 100.0), np.full((20, 20), 150.0)
    c1 = (0.01 * 255) ** 2
    assert ssim(one, other) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))


def test_the_reference_is_the_lanczos_of_the_whole(tmp_path: Path) -> None:
    right = opened(PHOTO).resize((400, 225), Image.Resampling.LANCZOS)
    right.save(tmp_path / "right.png")
    right.filter(ImageFilter.GaussianBlur(1)).save(tmp_path / "soft.png")
    assert similarity(PHOTO, tmp_path / "right.png") > 0.999
    assert similarity(PHOTO, tmp_path / "soft.png") < 0.95


def test_pictures_are_the_same_each_time(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        made.append(pictures.make(tmp_path / name, "0.1").read_bytes())
    assert made[0] == made[1]


def test_a_ratio_is_that_of_the_middle_round() -> None:
    assert ratio([1, 2, 90], [2, 2, 3]) == 1


@pytest.mark.sql
@pytest.mark.django_db(transaction=True)
def test_a_job_is_multiplied_with_all_that_it_left() -> None:
    make_job()
    made = Made("one.jpg", "jpg", 40, 30, 1234, "a" * 64, 5.0)
    hosted = Published("one.jpg", "a" * 64, 1234, 1, "image/jpeg")
    outcomes.complete(claim(), Product([made], [hosted]))
    grow(300)
    counts = {each.objects.count() for each in (Job, Rendition, HostedFile, Success, Event)}
    assert counts == {300}
    assert Job.objects.filter(state="completed").count() == 300
