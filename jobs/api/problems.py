"""Every refusal as RFC 9457 problem details (`application/problem+json`) with a stable `code`.

{"type": "urn:pixerve:problem:{code}", "title", "status", "detail", "code",
 "field"?, "errors"?: [{"field", "message"}]}
"""

import logging
from typing import Any

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import UnreadablePostError
from rest_framework import exceptions

from credentials.errors import CredentialError
from jobs.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Refused,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

log = logging.getLogger("pixerve.api")

CONTENT_TYPE = "application/problem+json"


def problem(refused: Refused) -> JsonResponse:
    """The answer that a refusal becomes."""
    body: dict[str, Any] = {
        "type": f"urn:pixerve:problem:{refused.code}",
        "title": refused.title,
        "status": refused.status,
        "detail": refused.message,
        "code": refused.code,
    }
    if refused.field:
        body["field"] = refused.field
    if refused.errors:
        body["errors"] = refused.errors
    response = JsonResponse(body, status=refused.status, content_type=CONTENT_TYPE)
    if isinstance(refused, Unauthorized):
        response["WWW-Authenticate"] = 'Bearer realm="pixerve"'
    if refused.retry_after is not None:
        response["Retry-After"] = str(refused.retry_after)
    return response


def too_many_requests(wait_s: float | None) -> TooManyRequests:
    """What is said at a door that limits attempts; a wait that is not known is a minute."""
    wait = int(wait_s or 60)
    return TooManyRequests("too_many_requests", f"try again in {wait} seconds", retry_after=wait)


def _of_validation(error: exceptions.ValidationError) -> Refused:
    errors = [
        {"field": field, "message": str(message)}
        for field, messages in _fields(error.detail).items()
        for message in messages
    ]
    first = errors[0]
    return BadRequest(
        "invalid_input",
        f"{first['field']}: {first['message']}",
        field=first["field"],
        errors=errors,
    )


def _fields(detail: Any) -> dict[str, list[Any]]:
    if isinstance(detail, dict):
        return {
            str(field): messages if isinstance(messages, list) else [messages]
            for field, messages in detail.items()
        }
    return {"body": detail if isinstance(detail, list) else [detail]}


def _of_rest_framework(error: exceptions.APIException) -> Refused:
    match error:
        case exceptions.ValidationError():
            return _of_validation(error)
        case exceptions.Throttled():
            return too_many_requests(getattr(error, "wait", None))
        case exceptions.AuthenticationFailed() | exceptions.NotAuthenticated():
            return Unauthorized("not_authenticated", "sign in with a valid token")
        case exceptions.PermissionDenied():
            return Forbidden("not_allowed", "this is not yours to do")
        case exceptions.MethodNotAllowed():
            return MethodNotAllowed("method_not_allowed", str(error.detail))
    made = Refused("malformed_request", str(error.detail))
    made.status, made.title = error.status_code, "Request refused"
    return made


def _of_credential(error: CredentialError) -> Refused:
    made = Refused(error.code, error.message, field=error.field, errors=error.errors)
    made.status, made.title, made.retry_after = error.status, error.title, error.retry_after
    return made


def refusal_of(error: BaseException) -> Refused | None:  # noqa: PLR0911 - one row a kind
    """What a caller is told about an exception; None for a fault of ours."""
    match error:
        case Refused():
            return error
        case CredentialError():
            return _of_credential(error)
        case exceptions.APIException():
            return _of_rest_framework(error)
        case RequestDataTooBig():
            return PayloadTooLarge("body_too_large", "the request body is too large")
        case DisallowedHost():
            return BadRequest(
                "unknown_host", "this server does not know the Host; PIXERVE_ALLOWED_HOSTS lists it"
            )
        case SuspiciousOperation() | MultiPartParserError() | UnreadablePostError():
            return BadRequest("malformed_request", "the request could not be read")
        case Http404():
            return NotFound("not_found", "there is nothing here")
        case PermissionDenied():
            return Forbidden("not_allowed", "this is not yours to do")
        case RecursionError():  # a JSON body nested too deeply; nothing of ours recurses
            return BadRequest("malformed_request", "the request is nested too deeply")
        case OperationalError() | InterfaceError():
            log.error("the database is not available: %s", error)
            return Unavailable(
                "database_unavailable", "the database is not available just now", retry_after=5
            )
    return None


def internal_error() -> JsonResponse:
    """The answer to a fault of ours; the log has the details."""
    refused = Refused("internal_error", "a fault of ours; the server's log has the details")
    refused.status, refused.title = 500, "Internal error"
    return problem(refused)


def handle(error: Exception, context: dict[str, Any]) -> JsonResponse | None:
    """REST framework's exception handler: the only place where exceptions become answers."""
    refused = refusal_of(error)
    if refused is None:
        log.exception("a fault while answering %s", context["request"].path, exc_info=error)
        return internal_error()
    return problem(refused)


def method_not_allowed(request: HttpRequest, allowed: str) -> JsonResponse:
    """The answer of a plain Django view to a method that it does not take."""
    message = f'Method "{request.method}" not allowed.'
    response = problem(MethodNotAllowed("method_not_allowed", message))
    response["Allow"] = allowed
    return response


def page_not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's handler404 for everything outside the admin."""
    return problem(NotFound("not_found", "there is nothing here"))


def server_error(request: HttpRequest) -> JsonResponse:
    """Django's handler500."""
    return internal_error()


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """Django's handler400."""
    fallback = BadRequest("malformed_request", "the request could not be read")
    return problem(refusal_of(exception) or fallback)
