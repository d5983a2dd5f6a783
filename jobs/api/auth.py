"""Who calls: the bearer of an upload token, a signed-in user, or nobody in particular.

Upload tokens and staff tokens are signed with different keys, and each door takes its own kind.
"""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication

from jobs import tokens
from jobs.errors import Forbidden, Unauthorized

_SCHEME = "bearer"


@dataclass(frozen=True)
class Caller:
    """Whoever sent the request. Staff may see and do everything; a subject its own."""

    subject: str | None = None
    is_staff: bool = False
    user: User | None = None
    claims: tokens.Claims | None = None

    is_authenticated = True

    def owns(self, subject: str) -> bool:
        return self.is_staff or self.subject == subject


def bearer(request: Request) -> str | None:
    """The token of the Authorization header. Raises Unauthorized for another scheme."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != _SCHEME or not token.strip() or not token.isascii():
        raise Unauthorized("invalid_token", "send the header as `Authorization: Bearer <token>`")
    return token.strip()


def _user_of(token: str) -> User | None:
    """The user of a staff token, None where the token is none."""
    backend = JWTAuthentication()
    try:
        return backend.get_user(backend.get_validated_token(token.encode()))  # type: ignore[return-value]
    except AuthenticationFailed:
        return None


class UploadToken(BaseAuthentication):
    """Only upload tokens, and only in the header."""

    def authenticate(self, request: Request) -> tuple[Caller, Any] | None:
        token = bearer(request)
        if token is None:
            return None
        claims = tokens.verify(token)
        return Caller(subject=claims.subject, claims=claims), claims


class SignedIn(BaseAuthentication):
    """Only users: a token of `/token`, or the admin's session."""

    def authenticate(self, request: Request) -> tuple[Caller, Any] | None:
        token = bearer(request)
        if token is None:
            found = SessionAuthentication().authenticate(request)
            user = found[0] if found else None
        else:
            user = _user_of(token)
            if user is None:
                raise Unauthorized("invalid_token", "sign in at /token and send its access token")
        return (Caller(is_staff=user.is_staff, user=user), None) if user else None


class AnyToken(BaseAuthentication):
    """An upload token, a staff token, the admin's session, or nothing at all."""

    def authenticate(self, request: Request) -> tuple[Caller, Any] | None:
        token = bearer(request)
        if token is None:
            return SignedIn().authenticate(request)
        user = _user_of(token)
        if user is not None:
            return Caller(is_staff=user.is_staff, user=user), None
        return UploadToken().authenticate(request)


def caller(request: Request) -> Caller | None:
    """The authenticated caller, None for anonymous ones."""
    found: object = request.user
    return found if isinstance(found, Caller) else None


def required(request: Request) -> Caller:
    """The caller. Raises Unauthorized for anonymous ones."""
    found = caller(request)
    if found is None:
        raise Unauthorized("not_authenticated", "send a token: `Authorization: Bearer <token>`")
    return found


def require_staff(request: Request) -> Caller:
    """The caller, who is staff. Raises Unauthorized, Forbidden."""
    found = required(request)
    if not found.is_staff:
        raise Forbidden("staff_only", "only staff may see this")
    return found
