"""POST /upload: answer at once, convert in the background."""

import contextlib
from typing import Any

from django.conf import settings
from django.http import JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from jobs import intake, pressure, spec, staging, tokens
from jobs.api import auth, schemas
from jobs.api.problems import problem, refusal_of
from jobs.api.receiving import Received, receive
from jobs.errors import InvalidSpec, Refused, Unauthorized


def _spec_of(claims: tokens.Claims) -> spec.JobSpec:
    if claims.job is None:
        raise InvalidSpec("job_missing", "the token has no `job`", field="job")
    parsed = spec.parse(claims.job)
    intake.check_destinations(parsed, claims.subject)
    return parsed


def told(accepted: intake.Accepted) -> dict[str, Any]:
    """What the uploader is told about a new job."""
    reference = accepted.job.reference_id
    return {
        "hash": reference,
        "expected_files": [output.name for output in accepted.outputs],
        "job_id": str(accepted.job.uid),
        "status_url": f"{settings.PIXERVE.base_url}/status?hash={reference}",
    }


def _take(received: Received, parsed: spec.JobSpec, subject: str) -> dict[str, Any] | Refused:
    """One file's result: the answer about its job, or why there is none."""
    if received.refused is not None:
        return received.refused
    staged = received.staged
    if staged is None:
        raise RuntimeError("a received file is either staged or refused")
    try:
        return told(intake.accept(staged, parsed, subject))
    except Exception as error:
        if not isinstance(error, intake.Unconfirmed):
            staging.discard_refused(staged.uid)
        refused = refusal_of(error)
        if refused is None:
            raise
        return refused


def _item(name: str, result: dict[str, Any] | Refused) -> dict[str, Any]:
    if isinstance(result, Refused):
        error = {"status": result.status, "code": result.code, "detail": result.message}
        return {"file": name, **error}
    return {"file": name, "status": 202, **result}


class UploadView(APIView):
    authentication_classes = [auth.UploadToken]

    @extend_schema(
        operation_id="upload",
        auth=schemas.UPLOADER,
        summary="Upload one or several pictures",
        description="The token's `job` says what is made of each; its shape is the schema"
        " [JobSpec](#/components/schemas/JobSpec). Several `file` parts give `{uploads: [...]}`"
        " with a result each.",
        request={"multipart/form-data": schemas.UPLOAD_FORM},
        responses={
            202: schemas.Accepted,
            **{
                code: OpenApiResponse(schemas.Problem)
                for code in (400, 401, 409, 413, 415, 422, 503)
            },
        },
    )
    def post(self, request: Request) -> JsonResponse:
        claims = request.auth if isinstance(request.auth, tokens.Claims) else None
        if claims is None and not settings.PIXERVE.form_token:
            auth.required(request)
        # With a token in the header all that it asks for is judged before a byte is read.
        parsed = _spec_of(claims) if claims else None
        with pressure.admitted(_length(request), claims.subject if claims else None):
            return self._received(request, claims, parsed)

    def _received(
        self, request: Request, claims: tokens.Claims | None, parsed: spec.JobSpec | None
    ) -> JsonResponse:
        config = settings.PIXERVE
        files = receive(request._request, limit=config.max_upload_bytes, most=config.max_files)
        try:
            if parsed is None or claims is None:
                claims = tokens.verify(_form_token(request))
                parsed = _spec_of(claims)
        except Refused:
            _discard(files)
            raise
        results = [(each.name or "", _take(each, parsed, claims.subject)) for each in files]
        return _answer(results)


def _length(request: Request) -> int:
    """Bytes of the body; where it does not say, as many as it may have (`pixerve_site.body`)."""
    declared: str = request.META.get("CONTENT_LENGTH") or ""
    return int(declared) if declared.isdecimal() else 0


def _form_token(request: Request) -> str:
    token = request._request.POST.get("token", "")
    if not token:
        raise Unauthorized("not_authenticated", "send a token in the header or the field `token`")
    return str(token)


def _discard(files: list[Received]) -> None:
    for each in files:
        if each.staged is not None:
            with contextlib.suppress(OSError):
                staging.remove_here(each.staged.uid)


def _answer(results: list[tuple[str, dict[str, Any] | Refused]]) -> JsonResponse:
    if len(results) == 1:
        only = results[0][1]
        return problem(only) if isinstance(only, Refused) else JsonResponse(only, status=202)
    status = next(
        (202 for _, result in results if not isinstance(result, Refused)),
        _item(*results[0])["status"],
    )
    return JsonResponse({"uploads": [_item(*each) for each in results]}, status=status)
