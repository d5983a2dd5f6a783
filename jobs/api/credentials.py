"""/v1/credentials and POST /admin/credentials: staff say how to reach the storages.

Secrets go in and never come out: an answer names the secret fields that are set, and a fingerprint.
"""

import re
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.views import APIView

from credentials import options, secret, service, trial
from credentials.errors import InvalidCredential
from credentials.models import MAX_OWNER, Credential, CredentialChange
from credentials.sealing import Unreadable
from jobs.api import auth, schemas
from jobs.errors import BadRequest

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_NUMBER = re.compile(r"[0-9]{1,9}")
_CONDITIONS = {"limit": "", "after": "key__gt", "type": "type", "owner": "owner"}
_FIXED = "cannot be changed: make another credential"
_PARAMETERS = [
    OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}, default {DEFAULT_LIMIT}"),
    OpenApiParameter("after", str, description="the `next` link of a page carries it"),
    OpenApiParameter("type", str, description="only this type"),
    OpenApiParameter("owner", str, description="only this owner's; empty for shared ones"),
]


class AnyJson(JSONParser):
    """JSON whatever Content-Type says: `curl -d` calls it a form."""

    media_type = "*/*"


B = TypeVar("B", bound=BaseModel)


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


class NewCredential(_Body):
    """A credential to be; its type says which fields `data` has."""

    key: str = Field(description='one to 128 letters, digits, ".", "_" and "-"')
    type: str = Field(description="s3, gcs, sftp, local, or that of a plug-in")
    data: dict[str, Any] = Field(description="the fields of the type; docs/api.md lists them")
    owner: str = Field("", description="the only subject whose jobs may name it; empty for all")


class CredentialChanges(_Body):
    """The fields that are not given stay as they are."""

    data: dict[str, Any] | None = None
    owner: str | None = None


def _error(found: Any) -> dict[str, str]:
    name = options.named(found["loc"]) or "body"
    words = _FIXED if name in {"key", "type"} else "unknown field"
    message = {"extra_forbidden": words, "missing": "required"}.get(found["type"], found["msg"])
    return {"field": name, "message": message}


def _read(model: type[B], request: Request) -> B:
    """The request's JSON. Raises InvalidCredential naming each wrong field."""
    try:
        return model.model_validate(request.data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    raise InvalidCredential([_error(each) for each in found[:20]])


def _who(request: Request) -> str:
    """The name of the member of staff who calls. Raises Unauthorized, Forbidden."""
    user = auth.require_staff(request).user
    return user.get_username() if user else ""


def _secrets(credential: Credential) -> list[str] | None:
    """The names of the secret fields that are set; None where no key opens them."""
    try:
        return sorted(secret.take(credential))
    except Unreadable:
        return None


def shown(credential: Credential) -> dict[str, Any]:
    """What may be seen of a credential."""
    secrets = _secrets(credential)
    return {
        "key": credential.key,
        "type": credential.type,
        "owner": credential.owner,
        "data": credential.options,
        "secrets": secrets or [],
        "state": "unreadable" if secrets is None else "ready",
        "fingerprint": credential.fingerprint,
        "key_id": credential.key_id,
        "created_at": credential.created_at,
        "updated_at": credential.updated_at,
        "last_used_at": credential.last_used_at,
    }


def _shown_change(change: CredentialChange) -> dict[str, Any]:
    return {
        "at": change.at,
        "who": change.who,
        "action": change.action,
        "fields": change.fields,
    }


def _detail(credential: Credential) -> dict[str, Any]:
    changes = [_shown_change(each) for each in service.history(credential.key)]
    return {**shown(credential), "changes": changes}


def _create(request: Request) -> JsonResponse:
    who = _who(request)
    body = _read(NewCredential, request)
    made = service.create(key=body.key, kind=body.type, data=body.data, owner=body.owner, who=who)
    answer = JsonResponse(_detail(made), status=201)
    answer["Location"] = f"{settings.PIXERVE.base_url}/v1/credentials/{made.key}"
    return answer


def _limit(request: Request) -> int:
    given = str(request.query_params.get("limit", DEFAULT_LIMIT))
    if not _NUMBER.fullmatch(given) or not 1 <= int(given) <= MAX_LIMIT:
        message = f"`limit` must be a whole number from 1 to {MAX_LIMIT}"
        raise BadRequest("invalid_parameter", message, field="limit")
    return int(given)


def _filters(request: Request) -> dict[str, str]:
    """Conditions on the rows. Raises BadRequest."""
    given: dict[str, str] = request.query_params.dict()
    for name, value in given.items():
        if name not in _CONDITIONS:
            raise BadRequest("unknown_parameter", f"`{name}` is no filter here", field=name)
        if not value.isprintable() or len(value) > MAX_OWNER:
            raise BadRequest("invalid_parameter", f"`{name}` is not usable", field=name)
    return {_CONDITIONS[name]: value for name, value in given.items() if _CONDITIONS[name]}


def _problems(*codes: int) -> dict[int, OpenApiResponse]:
    return {code: OpenApiResponse(schemas.Problem) for code in codes}


class OriginalDoorView(APIView):
    """The original system's call."""

    authentication_classes = [auth.SignedIn]
    parser_classes = [AnyJson]

    @extend_schema(
        operation_id="create_credential_original",
        tags=["credentials"],
        auth=schemas.USER,
        summary="Register a credential: the original system's call, the same as POST"
        " /v1/credentials",
        request={"application/json": NewCredential},
        responses={201: schemas.Credential, **_problems(400, 401, 403, 409, 422)},
    )
    def post(self, request: Request) -> JsonResponse:
        return _create(request)


class CredentialsView(APIView):
    authentication_classes = [auth.SignedIn]
    parser_classes = [AnyJson]

    @extend_schema(
        operation_id="list_credentials",
        tags=["credentials"],
        auth=schemas.USER,
        summary="All credentials by key, without their secrets",
        parameters=_PARAMETERS,
        responses={200: schemas.CredentialList, **_problems(400, 401, 403)},
    )
    def get(self, request: Request) -> JsonResponse:
        _who(request)
        limit = _limit(request)
        rows = list(Credential.objects.filter(**_filters(request)).order_by("key")[: limit + 1])
        page = [shown(row) for row in rows[:limit]]
        following = None
        if len(rows) > limit:
            query = {**request.query_params.dict(), "after": rows[limit - 1].key}
            following = f"{settings.PIXERVE.base_url}{request.path}?{urlencode(query)}"
        return JsonResponse({"credentials": page, "count": len(page), "next": following})

    @extend_schema(
        operation_id="create_credential",
        tags=["credentials"],
        auth=schemas.USER,
        summary="Register a credential",
        request={"application/json": NewCredential},
        responses={201: schemas.Credential, **_problems(400, 401, 403, 409, 422)},
    )
    def post(self, request: Request) -> JsonResponse:
        return _create(request)


class CredentialView(APIView):
    authentication_classes = [auth.SignedIn]
    parser_classes = [AnyJson]

    @extend_schema(
        operation_id="get_credential",
        tags=["credentials"],
        auth=schemas.USER,
        summary="One credential and its changes, without its secrets",
        responses={200: schemas.Credential, **_problems(401, 403, 404)},
    )
    def get(self, request: Request, key: str) -> JsonResponse:
        _who(request)
        return JsonResponse(_detail(service.find(key)))

    @extend_schema(
        operation_id="change_credential",
        tags=["credentials"],
        auth=schemas.USER,
        summary="Replace the fields that are given; an empty secret stays, null takes a field away",
        request={"application/json": CredentialChanges},
        responses={200: schemas.Credential, **_problems(400, 401, 403, 404, 422)},
    )
    def patch(self, request: Request, key: str) -> JsonResponse:
        who = _who(request)
        service.find(key)
        body = _read(CredentialChanges, request)
        changed = service.change(key, data=body.data, owner=body.owner, who=who)
        return JsonResponse(_detail(changed))

    @extend_schema(
        operation_id="delete_credential",
        tags=["credentials"],
        auth=schemas.USER,
        summary="Forget a credential that no job needs",
        responses={204: None, **_problems(401, 403, 404, 409)},
    )
    def delete(self, request: Request, key: str) -> HttpResponse:
        service.delete(key, who=_who(request))
        return HttpResponse(status=204)


class CredentialTestView(APIView):
    authentication_classes = [auth.SignedIn]
    parser_classes = [AnyJson]

    @extend_schema(
        operation_id="test_credential",
        tags=["credentials"],
        auth=schemas.USER,
        summary="Write, read back and delete a probe; says what failed",
        request=None,
        responses={200: schemas.CredentialVerdict, **_problems(401, 403, 404, 429)},
    )
    def post(self, request: Request, key: str) -> JsonResponse:
        _who(request)
        verdict = trial.run(service.find(key))
        body: dict[str, Any] = {"ok": verdict.ok, "duration_s": verdict.duration_s}
        if not verdict.ok:
            body |= {
                "code": verdict.code,
                "message": verdict.message,
                "permanent": verdict.permanent,
            }
        return JsonResponse(body)
