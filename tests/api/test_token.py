"""POST /token and /token/refresh: staff sign in, and nobody becomes staff by another way."""

import base64
import json
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import cache

from tests.api.caller import Api, assert_problem, upload_secret
from tests.api.conftest import PASSWORD

Configure = Callable[..., None]


def sign_in(api: Api, username: object = "boss", password: object = PASSWORD, **extra: Any) -> Any:
    return api.post_json("/token", {"username": username, "password": password}, **extra)


def is_staff_token(api: Api, token: str) -> bool:
    return bool(api.get("/success/list", token=token).status_code == 200)


def test_a_pair_for_username_and_password(api: Api, staff_user: User) -> None:
    answer = sign_in(api)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access", "refresh"}
    assert is_staff_token(api, answer.json()["access"])
    assert not is_staff_token(api, answer.json()["refresh"])


def test_refresh_gives_a_new_access_token(api: Api, staff_user: User) -> None:
    refresh = sign_in(api).json()["refresh"]
    answer = api.post_json("/token/refresh", {"refresh": refresh})
    assert answer.status_code == 200
    assert set(answer.json()) == {"access"}
    assert is_staff_token(api, answer.json()["access"])


def test_the_scheme_may_be_written_in_any_case(api: Api, staff: str) -> None:
    for scheme in ("bearer", "BEARER", "Bearer"):
        answer = api.get("/success/list", HTTP_AUTHORIZATION=f"{scheme} {staff}")
        assert answer.status_code == 200, scheme


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("boss", "wrong"),
        ("nobody", PASSWORD),
        ("BOSS", PASSWORD),
        ("boss", PASSWORD.upper()),
        ("' OR 1=1 --", "x"),
        ("x" * 5000, "x"),
        ("boss", "x" * 5000),
    ],
)
def test_wrong_credentials_say_nothing_about_which(
    api: Api, staff_user: User, username: str, password: str
) -> None:
    body = assert_problem(sign_in(api, username, password), 401, "bad_credentials")
    assert body["detail"] == "no active account has these credentials"


def test_an_inactive_user(api: Api, staff_user: User) -> None:
    first = sign_in(api).json()
    staff_user.is_active = False
    staff_user.save()
    assert_problem(sign_in(api), 401, "bad_credentials")
    refreshed = api.post_json("/token/refresh", {"refresh": first["refresh"]})
    assert_problem(refreshed, 401, "bad_credentials")
    assert_problem(api.get("/success/list", token=first["access"]), 401, "invalid_token")


def test_a_deleted_user(api: Api, staff_user: User) -> None:
    first = sign_in(api).json()
    staff_user.delete()
    refreshed = api.post_json("/token/refresh", {"refresh": first["refresh"]})
    assert_problem(refreshed, 401, "bad_credentials")
    assert_problem(api.get("/success/list", token=first["access"]), 401, "invalid_token")


def test_a_new_password_ends_the_old_tokens(api: Api, staff_user: User) -> None:
    first = sign_in(api).json()
    staff_user.set_password("another pass 77")
    staff_user.save()
    assert_problem(api.get("/success/list", token=first["access"]), 401, "invalid_token")
    refreshed = api.post_json("/token/refresh", {"refresh": first["refresh"]})
    if refreshed.status_code == 200:
        assert not is_staff_token(api, refreshed.json()["access"])


def test_who_is_no_longer_staff(api: Api, staff_user: User) -> None:
    token = sign_in(api).json()["access"]
    User.objects.update(is_staff=False)
    assert_problem(api.get("/success/list", token=token), 403, "staff_only")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "boss"},
        {"username": "boss", "password": ""},
        {"username": None, "password": PASSWORD},
        {"username": ["boss"], "password": PASSWORD},
        {"username": {"$ne": ""}, "password": {"$ne": ""}},
        {"username": "boss\0", "password": PASSWORD},
        {"username": "boss", "password": "\ud800"},
        {"username": "\udfff", "password": PASSWORD},
        {"username": True, "password": PASSWORD},
        [],
        "text",
        5,
        None,
    ],
)
def test_bodies_of_the_wrong_shape(api: Api, staff_user: User, body: object) -> None:
    answer = api.post_json("/token", body)
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe", b"{'a': 1}", b'{"username": NaN}', b"[" * 200_000, b'{"a":' * 100_000],
)
@pytest.mark.parametrize("path", ["/token", "/token/refresh", "/register"])
def test_bodies_that_are_no_json(api: Api, staff: str, path: str, raw: bytes) -> None:
    answer = api.call("POST", path, token=staff, data=raw, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "a/b"]
)
def test_bodies_of_another_type(api: Api, content_type: str) -> None:
    answer = api.call("POST", "/token", data=b"username=boss", content_type=content_type)
    assert answer.status_code == 415
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("refresh", ["", "x", "a.b.c", None, 5, "\ud800", "x" * 20_000])
def test_what_is_no_refresh_token(api: Api, refresh: object) -> None:
    answer = api.post_json("/token/refresh", {"refresh": refresh})
    assert answer.status_code in {400, 401}
    assert answer["Content-Type"] == "application/problem+json"


def test_an_access_token_refreshes_nothing(api: Api, staff: str) -> None:
    answer = api.post_json("/token/refresh", {"refresh": staff})
    assert_problem(answer, 401, "bad_credentials")


# Whoever mints upload tokens must not be able to become staff.

STAFF_DOORS = [
    ("GET", "/success/list"),
    ("GET", "/failures/list"),
    ("POST", "/register"),
    ("POST", "/tokens"),
    ("GET", "/readyz"),
]


def forged(user: User, key: str, **claims: Any) -> str:
    """A real staff token's claims, signed with another key."""
    now = int(time.time())
    real = {
        "token_type": "access",
        "exp": now + 900,
        "iat": now,
        "jti": "0" * 32,
        "user_id": str(user.pk),
        "iss": "pixerve-staff",
        "sub": "alice",
        **claims,
    }
    return jwt.encode(real, key, algorithm="HS256")


@pytest.mark.parametrize(("method", "path"), STAFF_DOORS)
def test_a_staff_token_signed_with_the_upload_key_opens_nothing(
    api: Api, staff_user: User, method: str, path: str
) -> None:
    real = jwt.decode(sign_in(api).json()["access"], options={"verify_signature": False})
    token = forged(staff_user, upload_secret(), **real)
    body = {"data": b"{}", "content_type": "application/json"} if method == "POST" else {}
    answer = api.call(method, path, token=token, **body)
    if path == "/readyz":
        assert "checks" not in answer.json()
    else:
        assert answer.status_code in {401, 403}, answer.content
    assert User.objects.count() == 1


@pytest.mark.parametrize("key", ["SECRET_KEY", "", "x" * 32])
def test_nor_one_signed_with_any_other_key(api: Api, staff_user: User, key: str) -> None:
    secret = settings.SECRET_KEY if key == "SECRET_KEY" else key
    if not secret:
        token = forged(staff_user, "x" * 32).rsplit(".", 1)[0] + "."
    else:
        token = forged(staff_user, secret)
    assert_problem(api.get("/success/list", token=token), 401, "invalid_token")


def segment(data: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=")


def test_nor_an_unsigned_one(api: Api, staff_user: User) -> None:
    claims = jwt.decode(sign_in(api).json()["access"], options={"verify_signature": False})
    for algorithm in ("none", "None", "NONE"):
        token = b".".join(
            [segment({"alg": algorithm, "typ": "JWT"}), segment(claims), b""]
        ).decode()
        assert_problem(api.get("/success/list", token=token), 401, "invalid_token")


def test_the_two_keys_differ() -> None:
    assert settings.STAFF_TOKEN_KEY not in {settings.KEYS.jwt_secret, settings.SECRET_KEY}


# Attempts are limited


def test_attempts_are_limited(api: Api, staff_user: User, configure: Configure) -> None:
    configure(rate_limit="3/m")
    for _ in range(3):
        assert_problem(sign_in(api, password="wrong"), 401, "bad_credentials")
    refused = sign_in(api)
    assert_problem(refused, 429, "too_many_requests")
    assert 1 <= int(refused["Retry-After"]) <= 60


@pytest.mark.parametrize("path", ["/token", "/token/refresh", "/register", "/admin/login/"])
def test_all_doors_with_passwords_count_together(api: Api, configure: Configure, path: str) -> None:
    configure(rate_limit="2/m")
    for _ in range(2):
        sign_in(api)
    answer = api.post_json(path, {})
    assert_problem(answer, 429, "too_many_requests")


def test_looking_at_the_login_page_counts_nothing(api: Api, configure: Configure) -> None:
    configure(rate_limit="1/m")
    for _ in range(3):
        assert api.get("/admin/login/").status_code == 200


def test_the_limit_can_be_off(api: Api, configure: Configure) -> None:
    configure(rate_limit="off")
    for _ in range(100):
        assert sign_in(api).status_code == 401


def attempts_until_refused(api: Api, **extra: Any) -> int:
    """How many wrong passwords are listened to, 10 at most; `{}` becomes the attempt's number."""
    cache.clear()
    for number in range(10):
        forwarded = {name: value.format(number) for name, value in extra.items()}
        if sign_in(api, password="wrong", **forwarded).status_code == 429:
            return number
    return 10


def test_a_forwarded_address_is_not_believed(api: Api, configure: Configure) -> None:
    configure(rate_limit="3/m")
    for header in ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP", "HTTP_FORWARDED", "HTTP_CLIENT_IP"):
        assert attempts_until_refused(api, **{header: "10.0.0.{}"}) == 3


def test_a_trusted_proxy_is_believed_about_the_last_address_only(
    api: Api, configure: Configure
) -> None:
    proxies = (ip_network("127.0.0.1/32"), ip_network("10.1.0.0/16"))
    configure(rate_limit="3/m", trusted_proxies=proxies)
    spoofed = {"HTTP_X_FORWARDED_FOR": "6.6.6.{}, 203.0.113.7"}
    through_two = {"HTTP_X_FORWARDED_FOR": "6.6.6.{}, 203.0.113.8, 10.1.2.3"}
    honest = {"HTTP_X_FORWARDED_FOR": "203.0.113.{}"}
    assert attempts_until_refused(api, **spoofed) == 3
    assert attempts_until_refused(api, **through_two) == 3
    assert attempts_until_refused(api, **honest) == 10


def test_a_network_of_ipv6_is_one_client(api: Api, configure: Configure) -> None:
    configure(rate_limit="3/m", trusted_proxies=(ip_network("127.0.0.1/32"),))
    assert attempts_until_refused(api, HTTP_X_FORWARDED_FOR="2001:db8::{}") == 3
    assert attempts_until_refused(api, HTTP_X_FORWARDED_FOR="2001:db8:0:{}::1") == 10


def test_a_proxy_that_is_not_trusted_is_the_client(api: Api, configure: Configure) -> None:
    configure(rate_limit="3/m", trusted_proxies=(ip_network("10.1.0.0/16"),))
    assert attempts_until_refused(api, HTTP_X_FORWARDED_FOR="203.0.113.{}") == 3
