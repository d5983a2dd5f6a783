"""Upload tokens: the key says which algorithm, the token never does."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pytest_django import Settings

from jobs import tokens
from tests.jobs.handmade import OTHER, SECRET, by_hand, claims, part, refused, use

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(autouse=True)
def one_secret(settings: Settings) -> None:
    use(settings, secret=SECRET)


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
