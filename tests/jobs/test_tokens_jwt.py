"""Upload tokens: every claim, and every odd form."""

import time
from collections.abc import Callable

import pytest
from pytest_django import Settings

from jobs import tokens
from jobs.errors import InvalidSpec
from tests.jobs.handmade import OTHER, SECRET, by_hand, claims, now, outcome, refused, use

Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def one_secret(settings: Settings) -> None:
    use(settings, secret=SECRET)


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


def test_a_token_that_was_good_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token, end = by_hand(claims()), claims()["exp"] + tokens.LEEWAY_S
    assert tokens.verify(token) is tokens.verify(token)
    monkeypatch.setattr(time, "time", lambda: end + 2.0)
    assert refused(token).code == "token_expired"


def test_a_token_that_was_good_under_other_settings(
    settings: Settings, configure: Configure
) -> None:
    token = by_hand(claims())
    assert tokens.verify(token)
    configure(jwt_issuer="https://me.example")
    assert refused(token).code == "invalid_token"
    configure(jwt_issuer=None)
    use(settings, secret=OTHER)
    assert refused(token).code == "invalid_token"


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
