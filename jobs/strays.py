"""Files below `/files/` that nobody will record: their job was killed before it could, and then
ended otherwise.

In the bucket a row says that a file is to come, and `jobs.bucket_sweep` goes by it; in the folder
the names say which they are.
"""

from contextlib import suppress
from pathlib import Path

from django.conf import settings

from delivery.errors import DeliveryError
from delivery.hosting import HostedRoot
from jobs import bucket, intake
from jobs.errors import InvalidSpec
from jobs.models import HostedFile, Job


def remove(job: Job) -> None:
    """Remove what claims of a job that ends without outputs have put into the serve folder.

    Call it in the transaction that ends the job: until that is over, no other job makes files of
    these names. What cannot be removed stays.
    """
    if bucket.in_use() or not job.fence:
        return
    keys = _keys(job)
    rows = HostedFile.objects.filter(path__in=keys)
    rows.filter(job=job, sha256="").delete()  # announced, and never said to be there
    root = HostedRoot(Path(settings.PIXERVE.serve_dir))
    for key in keys - set(rows.values_list("path", flat=True)):
        with suppress(DeliveryError):
            root.remove(key)


def _keys(job: Job) -> set[str]:
    if not job.spec.get("directHost"):
        return set()
    try:
        return set(intake.output_keys(job))
    except (InvalidSpec, ValueError):  # settings have changed since; then it made nothing either
        return set()
