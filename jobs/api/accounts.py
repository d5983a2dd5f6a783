"""POST /token, /token/refresh, /register and /tokens: people sign in, and get upload tokens."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import IntegrityError, transaction
from django.http import JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import (
    TokenObtainPairSerializer,
    TokenRefreshSerializer,
)

from jobs import intake, spec, tokens
from jobs.api import auth, schemas
from jobs.api.throttling import Attempts
from jobs.errors import BadRequest, Conflict, Unauthorized, Unavailable

DEFAULT_LIFETIME_S = 3600


class _Strict(serializers.Serializer[Any]):
    """A serializer that refuses fields it does not know."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (strangers := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({strangers[0]: ["unknown field"]})
        return super().to_internal_value(data)


class Registration(_Strict):
    username = serializers.CharField(max_length=150, validators=[User.username_validator])
    password = serializers.CharField(max_length=128, trim_whitespace=False, write_only=True)
    email = serializers.EmailField(required=False, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            validate_password(attrs["password"], User(username=attrs["username"]))
        except DjangoValidationError as error:
            raise serializers.ValidationError({"password": list(error.messages)}) from None
        return attrs


@extend_schema_field({"$ref": "#/components/schemas/JobSpec"})
class JobField(serializers.DictField):
    """Any object here: `jobs.spec.parse` judges it."""


class TokenRequest(_Strict):
    job = JobField()
    lifetime = serializers.IntegerField(min_value=1, default=DEFAULT_LIFETIME_S)


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    try:
        serializer.is_valid(raise_exception=True)
    except (AuthenticationFailed, TokenError, User.DoesNotExist):
        raise Unauthorized("bad_credentials", "no active account has these credentials") from None
    data: dict[str, Any] = serializer.validated_data
    return data


def _make_user(given: dict[str, Any]) -> User:
    """A new user. Raises Conflict where the name is taken, in whatever case or form of Unicode."""
    taken = Conflict("username_taken", "this username is taken", field="username")
    # As create_user will store it: full-width letters, for one, become plain ones.
    username = User.normalize_username(given["username"])
    if User.objects.filter(username__iexact=username).exists():
        raise taken
    try:
        with transaction.atomic():
            return User.objects.create_user(username, given["email"], given["password"])
    except IntegrityError:  # somebody else took it a moment ago
        raise taken from None


class TokenView(APIView):
    throttle_classes = [Attempts]

    @extend_schema(
        operation_id="sign_in",
        summary="Sign in with username and password",
        request=TokenObtainPairSerializer,
        responses={200: schemas.TokenPair, 401: OpenApiResponse(schemas.Problem)},
    )
    def post(self, request: Request) -> JsonResponse:
        return JsonResponse(_checked(TokenObtainPairSerializer(data=request.data)))


class RefreshView(APIView):
    throttle_classes = [Attempts]

    @extend_schema(
        operation_id="refresh",
        summary="A new access token for a refresh token",
        request=TokenRefreshSerializer,
        responses={200: schemas.AccessToken, 401: OpenApiResponse(schemas.Problem)},
    )
    def post(self, request: Request) -> JsonResponse:
        return JsonResponse(_checked(TokenRefreshSerializer(data=request.data)))


class RegisterView(APIView):
    authentication_classes = [auth.SignedIn]
    throttle_classes = [Attempts]

    @extend_schema(
        operation_id="register",
        auth=schemas.USER,
        summary="Make a user, who may then use /tokens",
        request=Registration,
        responses={
            201: schemas.Registered,
            **{code: OpenApiResponse(schemas.Problem) for code in (400, 401, 403, 409)},
        },
    )
    def post(self, request: Request) -> JsonResponse:
        if not settings.PIXERVE.open_registration:
            auth.require_staff(request)
        user = _make_user(_checked(Registration(data=request.data)))
        return JsonResponse({"id": user.pk, "username": user.get_username()}, status=201)


class UploadTokensView(APIView):
    authentication_classes = [auth.SignedIn]

    @extend_schema(
        operation_id="issue_upload_token",
        auth=schemas.USER,
        summary="An upload token whose subject is the signed-in user",
        request=TokenRequest,
        responses={
            201: schemas.IssuedToken,
            **{code: OpenApiResponse(schemas.Problem) for code in (400, 401, 422)},
        },
    )
    def post(self, request: Request) -> JsonResponse:
        user = auth.required(request).user
        if user is None:
            raise Unauthorized("not_authenticated", "sign in at /token first")
        given = _checked(TokenRequest(data=request.data))
        if given["lifetime"] > settings.PIXERVE.jwt_max_lifetime:
            most = settings.PIXERVE.jwt_max_lifetime
            raise BadRequest("invalid_input", f"lifetime: at most {most} seconds", field="lifetime")
        subject = user.get_username()
        intake.check_destinations(spec.parse(given["job"]), subject)
        try:
            token = tokens.issue(subject, given["job"], lifetime_s=given["lifetime"])
        except tokens.KeyConfigError as error:
            raise Unavailable("cannot_sign", str(error)) from None
        return JsonResponse({"token": token, "expires_in": given["lifetime"]}, status=201)
