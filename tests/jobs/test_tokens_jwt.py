"""Upload tokens: every claim, every key, every trick."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pytest_django import Settings

from jobs import tokens
from jobs.errors import InvalidSpec, Unauthorized

SECRET = "a secret of at least thirty-two bytes, for tests"
OTHER = "another secret of at least thirty-two bytes, also"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def one_secret(settings: Settings) -> None:
    settings.KEYS = replace(settings.KEYS, jwt_secret=SECRET, jwt_keys=None)


def use(settings: Settings, *, secret: str | None = None, keys: str | None = None) -> None:
    settings.KEYS = replace(settings.KEYS, jwt_secret=secret, jwt_keys=keys)


def now() -> int:
    return int(time.time())


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "alice", "iat": now(), "exp": now() + 600, "job": {"a": 1}, **changes}
    return {name: value for name, value in made.items() if value is not ...}


def part(data: object) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def by_hand(payload: object, header: object = None, secret: str = SECRET) -> str:
    """A token that no library would make, with a signature that holds."""
    signed = part(header or {"alg": "HS256", "typ": "JWT"}) + b"." + part(payload)
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(signature)).decode()


def outcome(token: str) -> str:
    """The subject, or the code of the refusal."""
    try:
        return tokens.verify(token).subject
    except Unauthorized as error:
        return error.code


def refused(token: str) -> Unauthorized:
    with pytest.raises(Unauthorized) as caught:
        tokens.verify(token)
    return caught.value


def test_a_good_token() -> None:
    made = claims(custom={"passes": True})
    found = tokens.verify(by_hand(made))
    assert found == tokens.Claims("alice", made["exp"], {"a": 1})


def test_a_token_without_a_job() -> None:
    assert tokens.verify(by_hand(claims(job=...))).job is None


def test_claims_do_not_show_the_job() -> None:
    found = tokens.verify(by_hand(claims(job={"callbackHeaders": {"X-Key": "hush"}})))
    assert "hush" not in repr(found)


def test_what_we_issue_we_take() -> None:
    found = tokens.verify(tokens.issue("bob", {"x": 1}, lifetime_s=60))
    assert (found.subject, found.job) == ("bob", {"x": 1})
    assert tokens.verify(tokens.issue("bob", None, lifetime_s=60)).job is None


def test_what_nobody_could_take_is_not_issued() -> None:
    with pytest.raises(InvalidSpec) as caught:
        tokens.issue("bob", {"x": "y" * tokens.MAX_TOKEN_BYTES}, lifetime_s=60)
    assert caught.value.code == "token_too_long"


# exp, iat, nbf

BAD_TIMES = [True, False, "9999999999", "soon", None, [], {}, -1e999, 1e999, float("nan"), 1e300]


@pytest.mark.parametrize("exp", BAD_TIMES)
def test_exp_that_is_no_time(exp: object) -> None:
    assert refused(by_hand(claims(exp=exp))).code in {"invalid_token", "token_expired"}


@pytest.mark.parametrize("text", ["Infinity", "-Infinity", "NaN", "1e999", "9" * 400, "-1", "0"])
def test_exp_as_numbers_that_json_can_write(text: str) -> None:
    raw = f'{{"sub": "alice", "job": {{}}, "exp": {text}}}'.encode()
    assert refused(by_hand(raw)).code in {"invalid_token", "token_expired", "token_lives_too_long"}


@pytest.mark.parametrize("iat", [True, "1", None, [], 1e999, float("nan"), -1e999, 1e300])
def test_iat_that_is_no_time(iat: object) -> None:
    assert refused(by_hand(claims(iat=iat))).code in {"invalid_token", "token_lives_too_long"}


def test_without_exp() -> None:
    error = refused(by_hand(claims(exp=...)))
    assert (error.code, "exp" in error.message) == ("invalid_token", True)


def test_expired() -> None:
    assert refused(by_hand(claims(iat=now() - 900, exp=now() - 60))).code == "token_expired"


def test_a_clock_that_is_a_little_off() -> None:
    assert tokens.verify(by_hand(claims(exp=now() - tokens.LEEWAY_S + 5)))
    assert tokens.verify(by_hand(claims(iat=now() + tokens.LEEWAY_S - 5)))
    assert refused(by_hand(claims(exp=now() - tokens.LEEWAY_S - 5))).code == "token_expired"


@pytest.mark.parametrize("ahead", [60, 86400, 10**9])
def test_iat_in_the_future(ahead: int) -> None:
    made = claims(iat=now() + ahead, exp=now() + ahead + 60)
    assert refused(by_hand(made)).code == "invalid_token"


def test_nbf_in_the_future() -> None:
    assert refused(by_hand(claims(nbf=now() + 60))).code == "invalid_token"
    assert tokens.verify(by_hand(claims(nbf=now() - 60)))


def test_fractions_of_seconds_are_fine() -> None:
    found = tokens.verify(by_hand(claims(iat=time.time(), exp=time.time() + 60.7)))
    assert isinstance(found.expires, int)


@pytest.mark.parametrize("with_iat", [True, False])
def test_the_longest_lifetime(configure: Configure, with_iat: bool) -> None:
    configure(jwt_max_lifetime=3600)
    iat = now() if with_iat else ...
    assert tokens.verify(by_hand(claims(iat=iat, exp=now() + 3600)))
    longer = by_hand(claims(iat=iat, exp=now() + 3700))
    assert refused(longer).code == "token_lives_too_long"


def test_an_old_iat_makes_no_token_live_longer(configure: Configure) -> None:
    configure(jwt_max_lifetime=3600)
    token = by_hand(claims(iat=now() - 3500, exp=now() + 3500))
    assert refused(token).code == "token_lives_too_long"


# sub


@pytest.mark.parametrize(
    "sub",
    [..., None, 5, True, ["alice"], {}, "", "x" * 256, "a\0b", "a\nb", "\ud800", "\u202ealice"],
)
def test_sub_that_is_no_subject(sub: object) -> None:
    assert refused(by_hand(claims(sub=sub))).code == "invalid_token"


@pytest.mark.parametrize("sub", ["x", "x" * 255, "Ärger & Co.", "auth0|123", "../..", "日本"])
def test_sub_that_is_one(sub: str) -> None:
    assert tokens.verify(by_hand(claims(sub=sub))).subject == sub


# iss and aud


def test_issuer(configure: Configure) -> None:
    configure(jwt_issuer="https://me.example")
    assert tokens.verify(by_hand(claims(iss="https://me.example")))
    for iss in (..., "https://you.example", "", None, 5, ["https://me.example"], True):
        assert refused(by_hand(claims(iss=iss))).code == "invalid_token"


def test_audience(configure: Configure) -> None:
    configure(jwt_audience=("images", "photos"))
    assert tokens.verify(by_hand(claims(aud="images")))
    assert tokens.verify(by_hand(claims(aud=["other", "photos"])))
    for aud in (..., "other", [], ["other"], None, 5, [5], {"images": 1}):
        assert refused(by_hand(claims(aud=aud))).code == "invalid_token"


def test_iss_and_aud_pass_where_none_is_set() -> None:
    assert tokens.verify(by_hand(claims(iss="anyone", aud="anything")))


# Form


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b",
        "é.é.é",
        "\0",
        "e30.e30.",
        "e30.e30.e30",
        by_hand(claims()) + ".x",
        by_hand(claims()) + "x",
        by_hand(claims())[:-2],
        by_hand([]),
        by_hand("text"),
        by_hand(5),
        by_hand(None),
        by_hand(b"\xff\xfe"),
        by_hand(b""),
        by_hand(b'{"sub": "a", "sub": '),
        by_hand(claims(), header=["HS256"]),
        by_hand(claims(), header={"typ": "JWT"}),
        by_hand(claims(), header={"alg": None}),
        by_hand(claims(), header={"alg": ["HS256"]}),
        by_hand(claims(), header={"alg": "HS256", "crit": ["exp"]}),
        by_hand(claims(), header={"alg": "HS256", "b64": False, "crit": ["b64"]}),
        by_hand(claims(), secret=OTHER),
    ],
)
def test_what_is_no_token(token: str) -> None:
    assert refused(token).code == "invalid_token"


def test_too_long() -> None:
    token = by_hand(claims(job={"x": "y" * 16_000}))
    assert len(token) > tokens.MAX_TOKEN_BYTES
    assert refused(token).code == "token_too_long"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nested_as_deep_as_fits(opening: str) -> None:
    raw = f'{{"sub": "a", "exp": {now() + 60}, "job": {opening * 2000}'.encode()
    assert refused(by_hand(raw)).code == "invalid_token"
    closing = "]" if opening == "[" else "}"
    whole = raw + (b"1" if closing == "}" else b"") + (closing * 2000 + "}").encode()
    assert outcome(by_hand(whole)) in {"a", "invalid_token"}  # how deep is Python's to say


# Algorithms: the key says which, the token never


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["", "x"])
def test_unsigned(algorithm: str, signature: str) -> None:
    token = by_hand(claims(), header={"alg": algorithm}).rsplit(".", 1)[0] + "." + signature
    assert refused(token).code == "invalid_token"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_hash_with_the_same_secret(algorithm: str) -> None:
    token = jwt.encode(claims(), SECRET * 2, algorithm=algorithm)
    assert refused(token).code == "invalid_token"


def public_pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()


PAIRS: dict[str, Any] = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_pem_key(settings: Settings, algorithm: str) -> None:
    use(settings, keys=public_pem(PAIRS[algorithm]))
    good = jwt.encode(claims(), PAIRS[algorithm], algorithm=algorithm)
    assert tokens.verify(good).subject == "alice"
    assert refused(by_hand(claims())).code == "invalid_token"
    for other in PAIRS.keys() - {algorithm}:
        forged = jwt.encode(claims(), PAIRS[other], algorithm=other)
        assert refused(forged).code == "invalid_token"


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_public_key_is_never_a_shared_secret(settings: Settings, algorithm: str) -> None:
    pem = public_pem(PAIRS[algorithm])
    use(settings, keys=pem)
    for secret in (pem, pem.strip(), pem.replace("\n", "")):
        for header in ({"alg": "HS256"}, {"alg": "HS256", "typ": "JWT"}):
            assert refused(by_hand(claims(), header, secret)).code == "invalid_token"


def test_a_pem_key_from_a_file(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(public_pem(ED_KEY))
    use(settings, keys=str(file))
    assert tokens.verify(jwt.encode(claims(), ED_KEY, algorithm="EdDSA"))


# Several keys by kid


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    kind: Any = {
        rsa.RSAPrivateKey: RSAAlgorithm,
        ec.EllipticCurvePrivateKey: ECAlgorithm,
        ed25519.Ed25519PrivateKey: OKPAlgorithm,
    }
    algorithm = next(found for cls, found in kind.items() if isinstance(key, cls))
    made: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    made.pop("key_ops", None)
    return {**made, **({"kid": kid} if kid else {}), **more}


def shared(secret: str, kid: str | None) -> dict[str, Any]:
    return {"kty": "oct", "k": part(secret.encode()).decode(), **({"kid": kid} if kid else {})}


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": list(keys)})


ALL = jwks(
    jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec", alg="ES256"), jwk(ED_KEY, "ed"), shared(OTHER, "oct")
)


@pytest.mark.parametrize(
    ("kid", "key", "algorithm"),
    [
        ("rsa", RSA_KEY, "RS256"),
        ("ec", EC_KEY, "ES256"),
        ("ed", ED_KEY, "EdDSA"),
        ("oct", OTHER, "HS256"),
    ],
)
def test_rotation_by_kid(settings: Settings, kid: str, key: Any, algorithm: str) -> None:
    use(settings, secret=SECRET, keys=ALL)
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})
    assert tokens.verify(token).subject == "alice"
    for wrong in {"rsa", "ec", "ed", "oct"} - {kid}:
        moved = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": wrong})
        assert refused(moved).code == "invalid_token"
    nameless = jwt.encode(claims(), key, algorithm=algorithm)
    assert refused(nameless).code == "invalid_token"
    assert tokens.verify(by_hand(claims())).subject == "alice"


@pytest.mark.parametrize(
    "kid", ["", "nobody", "../../dev/null", "' OR '1'='1", "rsa\0", "RSA", "x" * 4000]
)
def test_a_kid_that_names_no_key(settings: Settings, kid: str) -> None:
    use(settings, keys=ALL)
    token = by_hand(claims(), {"alg": "HS256", "kid": kid}, secret="")
    assert refused(token).code == "unknown_key"


@pytest.mark.parametrize("kid", [None, 0, True, ["oct"], {"oct": 1}, 1e999])
def test_a_kid_that_is_no_text(settings: Settings, kid: object) -> None:
    use(settings, keys=ALL)
    token = by_hand(claims(), {"alg": "HS256", "kid": kid}, secret=OTHER)
    assert refused(token).code in {"unknown_key", "invalid_token"}


@pytest.mark.parametrize("field", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_inside_the_token_counts_for_nothing(settings: Settings, field: str) -> None:
    attacker = ed25519.Ed25519PrivateKey.generate()
    use(settings, keys=jwks(jwk(ED_KEY, "ed")))
    header = {"kid": "ed", field: jwk(attacker, "ed")}
    token = jwt.encode(claims(), attacker, algorithm="EdDSA", headers=header)
    assert refused(token).code == "invalid_token"


def test_a_public_jwk_is_never_a_shared_secret(settings: Settings) -> None:
    use(settings, keys=ALL)
    for secret in (public_pem(RSA_KEY), json.dumps(jwk(RSA_KEY, "rsa")), jwk(RSA_KEY, "rsa")["n"]):
        token = by_hand(claims(), {"alg": "HS256", "kid": "rsa"}, secret)
        assert refused(token).code == "invalid_token"


def test_one_key_without_a_kid_takes_tokens_with_any(settings: Settings) -> None:
    use(settings, keys=jwks(jwk(ED_KEY, None)))
    for headers in ({}, {"kid": "whatever"}):
        assert tokens.verify(jwt.encode(claims(), ED_KEY, algorithm="EdDSA", headers=headers))


def private_jwk(key: Any, algorithm: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(algorithm.to_jwk(key))
    made.pop("key_ops", None)
    return made


UNUSABLE = {
    "nothing": " ",
    "no such file": "/nowhere/keys.json",
    "no json": "{keys",
    "no keys": "{}",
    "keys that are none": '{"keys": 5}',
    "a key that is none": '{"keys": ["x"]}',
    "no kty": '{"keys": [{"k": "abc"}]}',
    "unknown kty": '{"keys": [{"kty": "XYZ"}]}',
    "empty set": '{"keys": []}',
    "short secret": jwks(shared("short", "a")),
    "the same kid twice": jwks(jwk(RSA_KEY, "a"), jwk(EC_KEY, "a")),
    "two without a kid": jwks(jwk(RSA_KEY, None), jwk(EC_KEY, None)),
    "a kid that is no text": jwks({**jwk(RSA_KEY, None), "kid": ["a"]}),
    "alg none": jwks(jwk(RSA_KEY, "a", alg="none")),
    "alg of another kind": jwks(jwk(RSA_KEY, "a", alg="HS256")),
    "alg that is none": jwks(jwk(RSA_KEY, "a", alg=5)),
    "unknown alg": jwks(jwk(RSA_KEY, "a", alg="RS1")),
    "a curve of another size": jwks(jwk(ec.generate_private_key(ec.SECP384R1()), "a")),
    "a private RSA key": jwks(private_jwk(RSA_KEY, RSAAlgorithm)),
    "a private EC key": jwks(private_jwk(EC_KEY, ECAlgorithm)),
    "a private Ed25519 key": jwks(private_jwk(ED_KEY, OKPAlgorithm)),
    "broken PEM": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    "a PEM of another curve": public_pem(ec.generate_private_key(ec.SECP384R1())),
    "a private PEM": RSA_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode(),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_keys_that_cannot_be_used_are_said_so_at_the_start(name: str) -> None:
    with pytest.raises(tokens.KeyConfigError) as caught:
        tokens.verifying_keys(None, UNUSABLE[name])
    assert "PRIVATE" not in str(caught.value)


def test_keys_do_not_show_themselves() -> None:
    keys = tokens.verifying_keys(SECRET, jwks(shared(OTHER, "a")))
    assert SECRET not in repr(keys)
    assert OTHER not in repr(keys)


def test_refusals_never_repeat_the_token() -> None:
    for token in (by_hand(claims(), secret=OTHER), by_hand(claims(exp=1)), "very.secret.token"):
        error = refused(token)
        assert token not in f"{error!r} {error.message}"
        assert SECRET not in f"{error!r} {error.__context__!r}"


def test_without_a_secret_nothing_is_issued(settings: Settings) -> None:
    use(settings, keys=public_pem(ED_KEY))
    with pytest.raises(tokens.KeyConfigError):
        tokens.issue("bob", None, lifetime_s=60)
