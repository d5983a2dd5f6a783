"""What `credentials` has to know of jobs, which it cannot import: who needs a credential, and what
else is sealed."""

from collections.abc import Iterator

from django.db.models import Q, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from credentials import rotation, usage
from credentials.models import Credential
from jobs.intake import headers_purpose
from jobs.models import Callback, Job
from jobs.states import IN_FLIGHT


def register() -> None:
    """Called once, when the models are there."""
    usage.register("jobs", jobs_that_need)
    rotation.register(rotation.Column(Job, "sealed_headers", lambda job: headers_purpose(job.uid)))
    rotation.register(
        rotation.Column(
            Callback,
            "sealed_headers",
            lambda callback: headers_purpose(callback.job.uid),
            related=("job",),
        )
    )


def jobs_that_need(credential: Credential) -> Iterator[str]:
    """Jobs in flight whose instructions name the credential."""
    found = _candidates(credential).values_list("uid", f"spec__storageKeys__{credential.type}")
    for uid, keys in found.iterator():
        if credential.key in (keys if isinstance(keys, list) else [keys]):
            yield f"job {uid}"


def _candidates(credential: Credential) -> QuerySet[Job]:
    """Those whose storage keys look like it, whether one key or a list of them is named."""
    keys = Cast(KT(f"spec__storageKeys__{credential.type}"), TextField())
    return (
        Job.objects.filter(state__in=IN_FLIGHT)
        .annotate(storage_keys=keys)
        .filter(Q(storage_keys=credential.key) | Q(storage_keys__contains=f'"{credential.key}"'))
        .order_by("pk")
    )
