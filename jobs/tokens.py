"""Upload tokens: JWTs (RFC 7519) that say who uploads and what to make of the picture.

One fixed algorithm per key: HS256 with the shared secret, and whatever `PIXERVE_JWT_KEYS` lists: a
JWKS (RFC 7517) or one PEM public key. A token's `kid` chooses among several keys; its `alg` never
chooses anything.
"""

import json
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken

from jobs.errors import InvalidSpec, Refused, Unauthorized

MAX_TOKEN_BYTES = 16 * 1024
MAX_SUBJECT = 255
MIN_SECRET_BYTES = 32
LEEWAY_S = 10
REMEMBERED = 256  # tokens
_ALGORITHMS = {"oct": "HS256", "RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


class KeyConfigError(Exception):
    """`PIXERVE_JWT_KEYS` holds no usable key; the message says why."""


@dataclass(frozen=True)
class Claims:
    """A verified token: its subject, and its `job` as it came (None where absent).

    Several requests may hold the same one at a time: nobody changes what is in `job`.
    """

    subject: str
    expires: int
    job: Any = field(default=None, repr=False)


@dataclass(frozen=True)
class VerifyingKey:
    kid: str | None
    algorithm: str
    key: Any = field(repr=False)


def _algorithm_of(key: object) -> str:
    """The one algorithm that tokens of this key are signed with. Raises KeyConfigError."""
    match key:
        case bytes() if len(key) < MIN_SECRET_BYTES:
            raise KeyConfigError(f"a shared secret needs at least {MIN_SECRET_BYTES} bytes")
        case bytes():
            return "HS256"
        case RSAPublicKey():
            return "RS256"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
    raise KeyConfigError("a key must be a shared secret, or public: RSA, P-256 or Ed25519")


def _kid_of(entry: dict[str, Any]) -> str | None:
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise KeyConfigError("a `kid` must be a text")
    return kid


def _from_jwks(text: str) -> list[VerifyingKey]:
    keys = []
    for entry in json.loads(text)["keys"]:
        key = jwt.PyJWK(entry, _ALGORITHMS[entry["kty"]]).key
        algorithm = _algorithm_of(key)
        if entry.get("alg") not in {None, algorithm}:
            raise KeyConfigError(f"a key of this kind is for {algorithm}, not {entry['alg']}")
        keys.append(VerifyingKey(_kid_of(entry), algorithm, key))
    if not keys:
        raise KeyConfigError("the JWKS is empty")
    return keys


def _from_pem(text: str) -> list[VerifyingKey]:
    key = load_pem_public_key(text.encode())
    return [VerifyingKey(None, _algorithm_of(key), key)]


@lru_cache(maxsize=4)
def verifying_keys(jwt_secret: str | None, jwt_keys: str | None) -> tuple[VerifyingKey, ...]:
    """Every key that may verify an upload token. Raises KeyConfigError."""
    keys = [VerifyingKey(None, "HS256", jwt_secret)] if jwt_secret else []
    if not jwt_keys:
        return tuple(keys)
    try:
        text = (
            jwt_keys if jwt_keys.lstrip()[:1] in {"{", "-"} else Path(jwt_keys).read_text("utf-8")
        )
        keys += _from_pem(text) if "-----BEGIN" in text else _from_jwks(text)
    except KeyConfigError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise KeyConfigError(
            f"expected a JWKS, a PEM public key, or a path to one ({type(error).__name__})"
        ) from None
    kids = [key.kid for key in keys]
    if len(set(kids)) != len(kids):
        raise KeyConfigError("several keys need a different `kid` each")
    return tuple(keys)


class _Rules(NamedTuple):
    """The settings that tokens are judged by."""

    secret: str | None
    keys: str | None
    audience: tuple[str, ...]
    issuer: str | None
    longest_s: int

    @classmethod
    def of_today(cls) -> "_Rules":
        config, secrets = settings.PIXERVE, settings.KEYS
        return cls(
            secrets.jwt_secret,
            secrets.jwt_keys,
            config.jwt_audience,
            config.jwt_issuer,
            config.jwt_max_lifetime,
        )


def _choose(token: str, keys: tuple[VerifyingKey, ...]) -> VerifyingKey:
    """The key by the token's `kid`; where we know no kids, the only key there is."""
    if len(keys) == 1 and keys[0].kid is None:
        return keys[0]
    kid = jwt.get_unverified_header(token).get("kid")
    named = {key.kid: key for key in keys}
    if kid in named:
        return named[kid]
    raise Unauthorized("unknown_key", "the token's `kid` names no key of this server")


def _decode(token: str, rules: _Rules) -> dict[str, Any]:
    key = _choose(token, verifying_keys(rules.secret, rules.keys))
    symmetric = key.algorithm.startswith("HS")
    backend = TokenBackend(
        key.algorithm,
        signing_key=key.key if symmetric else None,
        verifying_key="" if symmetric else key.key,
        audience=list(rules.audience) or None,
        issuer=rules.issuer,
        leeway=LEEWAY_S,
    )
    payload: dict[str, Any] = backend.decode(token)  # type: ignore[arg-type]
    return payload


def _whole_seconds(payload: dict[str, Any], name: str) -> int:
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise Unauthorized("invalid_token", f"`{name}` must be a time in Unix seconds")
    return int(value)


def _check_lifetime(payload: dict[str, Any], longest: int) -> int:
    if "exp" not in payload:
        raise Unauthorized("invalid_token", "the token has no `exp`; every token must expire")
    expires = _whole_seconds(payload, "exp")
    start = _whole_seconds(payload, "iat") if "iat" in payload else int(time.time())
    if expires - start > longest + LEEWAY_S:
        raise Unauthorized("token_lives_too_long", f"a token may live at most {longest} seconds")
    return expires


def _check_subject(payload: dict[str, Any]) -> str:
    subject = payload.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise Unauthorized(
            "invalid_token", f"`sub` must be a text of 1 to {MAX_SUBJECT} characters"
        )
    if not subject.isprintable():
        raise Unauthorized("invalid_token", "`sub` must be printable text")
    return subject


# A client sends one token with many uploads. What time can still change about a token that was good
# once is only that it expires, which is looked at each time; what was refused is not remembered.
@lru_cache(maxsize=REMEMBERED)
def _judge(token: str, rules: _Rules) -> Claims:
    payload = _decode(token, rules)
    expires = _check_lifetime(payload, rules.longest_s)
    return Claims(_check_subject(payload), expires, payload.get("job"))


def verify(token: str) -> Claims:
    """The claims of an upload token. Raises Unauthorized with a code and a reason."""
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthorized("token_too_long", f"a token has at most {MAX_TOKEN_BYTES} bytes")
    try:
        claims = _judge(token, _Rules.of_today())
    except Refused:
        raise
    except TokenBackendExpiredToken:
        raise _expired() from None
    except (TokenBackendError, jwt.PyJWTError, ArithmeticError, ValueError, TypeError):
        raise Unauthorized("invalid_token", "the token is not valid here") from None
    except RecursionError:
        raise Unauthorized("invalid_token", "the token is nested too deeply") from None
    if claims.expires <= time.time() - LEEWAY_S:
        raise _expired()
    return claims


def _expired() -> Unauthorized:
    return Unauthorized("token_expired", "the token has expired")


def issue(subject: str, job: dict[str, Any] | None, *, lifetime_s: int) -> str:
    """A new upload token signed with the shared secret.

    Raises KeyConfigError where this server has public keys only and so cannot sign, InvalidSpec
    where `job` is too long for a token.
    """
    secret = settings.KEYS.jwt_secret
    if secret is None:
        raise KeyConfigError("this server verifies with public keys only; sign where the key is")
    now = int(time.time())
    claims: dict[str, Any] = {"sub": subject, "iat": now, "exp": now + lifetime_s}
    if settings.PIXERVE.jwt_issuer:
        claims["iss"] = settings.PIXERVE.jwt_issuer
    if settings.PIXERVE.jwt_audience:
        claims["aud"] = settings.PIXERVE.jwt_audience[0]
    if job is not None:
        claims["job"] = job
    token: str = TokenBackend("HS256", signing_key=secret).encode(claims)
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidSpec("token_too_long", "`job` does not fit into a token", field="job")
    return token
