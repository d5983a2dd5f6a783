"""From a staged upload and a spec to a job in the queue, in one short transaction."""

import threading
import uuid
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain, count

from django.db import IntegrityError, OperationalError, connection, transaction

from credentials import resolver
from credentials.sealing import seal
from encoders import registry
from encoders.plan import ORIGINAL, Variant
from encoders.sniff import EXTENSIONS
from jobs import arrivals, bells, bucket, names, queue, staging
from jobs.errors import Conflict, InvalidSpec
from jobs.incoming import Staged
from jobs.models import Job, Reference
from jobs.spec import JobSpec, load
from jobs.spec_format import Output, SettingsSpec
from jobs.states import IN_FLIGHT, State

_ATTEMPTS = 5

_one_writer = threading.Lock()

# Most uploads are the first of their content: one statement then looks and takes.
_TAKE = f"""
INSERT INTO {Reference._meta.db_table} (name, sha256, subject)
VALUES (%(sha256)s, %(sha256)s, %(subject)s) ON CONFLICT DO NOTHING
"""  # noqa: S608 - no value of a caller is in it


@dataclass(frozen=True)
class Accepted:
    """A new job, and the files that it will make in the order of `outputs`."""

    job: Job
    outputs: tuple[Variant, ...]


class Unconfirmed(OperationalError):
    """The database went away at COMMIT: whether there is a job now, nobody can say. If there is,
    it needs what is staged; if not, that is swept in a minute."""


def outputs(spec: JobSpec, reference: str, stem: str, source_format: str) -> tuple[Variant, ...]:
    """Every output of a job, in the order the token names them, the original last.

    Raises InvalidSpec where two of them would share one file name.
    """
    found = [
        _variant(registry.canonical(name) or name, each.settings, output, reference, stem)
        for name, each in spec.formats.items()
        for output in each.outputs
    ]
    if spec.keep_original:
        original = names.output_name(reference, stem, EXTENSIONS[source_format], None)
        if any(output.name == original for output in found):
            raise InvalidSpec(
                "name_taken",
                f"{original}: keepOriginal and a native size would share this name; give that size"
                " a `name`",
                field="job.keepOriginal",
            )
        found.append(Variant(original, ORIGINAL))
    return tuple(found)


def output_keys(job: Job) -> list[str]:
    """The object key of every output of a job, in one folder."""
    spec = load(job.spec)
    made = outputs(spec, job.reference_id, job.stem, job.source_format)
    return [names.object_key(spec.sub_dir or "", each.name) for each in made]


def _variant(
    format_name: str, chosen: SettingsSpec, output: Output, reference: str, stem: str
) -> Variant:
    extension = registry.extension(format_name)
    return Variant(
        names.output_name(reference, stem, extension, output.box, output.name),
        format_name,
        output.look,
        chosen.encoding(),
        output.metadata,
        asked=tuple(sorted(chosen.model_fields_set)),
    )


def check_destinations(spec: JobSpec, subject: str) -> None:
    """Raise InvalidSpec for a storage key that `subject` may not use."""
    for kind, key in spec.destinations:
        try:
            resolver.require(kind, key, subject=subject)
        except resolver.UnknownCredential as error:
            raise InvalidSpec(
                "unknown_storage_key", str(error), field=f"job.storageKeys.{kind}"
            ) from None


def _reference(sha256: str, subject: str) -> str:
    """This subject's name for this content, allocated where it has none."""
    if _first(sha256, subject):
        return sha256
    # No key of it changes: the end of a job that this upload will wait for refers to the same row.
    locked = Reference.objects.select_for_update(no_key=True)
    same = locked.filter(sha256=sha256).order_by("pk")
    # Twice: whoever waits for the first one's row here has not seen what was added meanwhile.
    same.filter(pk=sha256).first()
    known = dict(same.values_list("subject", "name"))
    if subject in known:
        return known[subject]
    taken = set(known.values())
    candidates = chain([sha256], (f"{sha256}_{number}" for number in count(1)))
    name = next(each for each in candidates if each not in taken)
    Reference.objects.create(name=name, sha256=sha256, subject=subject)
    return name


def _first(sha256: str, subject: str) -> bool:
    """Take the bare name for `subject`, which it gets where nobody brought this content before."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"sha256": sha256, "subject": subject})
        return bool(cursor.rowcount == 1)


def headers_purpose(uid: uuid.UUID) -> str:
    """Binds sealed callback headers to their job."""
    return f"callback headers of {uid}"


def seal_headers(uid: uuid.UUID, headers: dict[str, str]) -> str:
    """Callback headers as they are stored; "" for none."""
    return seal(headers, purpose=headers_purpose(uid)) if headers else ""


def _insert(staged: Staged, spec: JobSpec, subject: str, stem: str) -> Accepted:
    if bucket.in_use() and not arrivals.settle(staged.uid):
        raise staging.away()
    reference = _reference(staged.sha256, subject)
    expected = outputs(spec, reference, stem, staged.source_format)
    job = Job.objects.create(
        uid=staged.uid,
        subject=subject,
        sha256=staged.sha256,
        reference_id=reference,
        priority=spec.priority,
        turn=queue.next_turn(subject, spec.priority),
        spec=spec.as_sent(),
        sealed_headers=seal_headers(staged.uid, spec.callback_headers),
        upload_name=staged.upload_name,
        stem=stem,
        source_format=staged.source_format,
        source_bytes=staged.size,
        total=len(expected),
    )
    transaction.on_commit(bells.queue.ring, robust=True)
    return Accepted(job, expected)


def _accept(staged: Staged, spec: JobSpec, subject: str, stem: str) -> Accepted:
    accepted, session = None, None
    try:
        with _in_line(), transaction.atomic():
            session = connection.connection
            accepted = _insert(staged, spec, subject, stem)
    except OperationalError as error:
        # Django may have connected anew by now. Over a session that stands, a refusal is one.
        stands = connection.connection is session and connection.is_usable()
        if accepted is not None and not stands:
            raise Unconfirmed(*error.args) from error
        raise
    return accepted


def _in_line() -> AbstractContextManager[object]:
    """SQLite has one writer: threads that queue here wait for microseconds, where its own busy
    handler would have them sleep for milliseconds."""
    return _one_writer if connection.vendor == "sqlite" else nullcontext()


def _in_flight(sha256: str, subject: str) -> bool:
    return Job.objects.filter(sha256=sha256, subject=subject, state__in=IN_FLIGHT).exists()


def accept(staged: Staged, spec: JobSpec, subject: str) -> Accepted:
    """Make the job. On any error but Unconfirmed nothing is stored, and the caller discards what is
    staged (`staging.discard_refused`).

    Raises Conflict where the subject's job with this content is still in flight, InvalidSpec,
    Unavailable.
    """
    staging.keep_source(staged.uid, staged.sha256)
    stem = names.safe_stem(staged.upload_name)
    for attempt in range(_ATTEMPTS):
        try:
            return _accept(staged, spec, subject, stem)
        except IntegrityError:
            if _in_flight(staged.sha256, subject):
                break
            # Two first uploads of one content met in Reference; the next look finds a free name.
            if attempt == _ATTEMPTS - 1:
                raise
    raise Conflict(
        "duplicate_in_flight",
        "a job with this picture is in flight; wait for its end, or cancel it",
        field="file",
    )


def is_nobodys(uid: uuid.UUID) -> bool:
    """Whether no job was made of this upload, and none will be by a transaction that is under way:
    a row of the same `uid` could be written, which waits for the end of such a one."""
    row = dict.fromkeys(("subject", "sha256", "reference_id"), "") | {"state": State.CANCELLED}
    try:
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '1s'")
            Job.objects.create(uid=uid, spec={}, source_bytes=0, total=0, **row)
            transaction.set_rollback(True)
    except (IntegrityError, OperationalError):  # the latter: its end takes long
        return False
    return True
