"""Signatures, as the receivers' own tools see them."""

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from delivery.signing import MAX_SECRETS, Endpoint, SecretError, Signer, checked, new_secret
from delivery.webhook import Message, send
from tests.delivery.peers import LOOPBACK, Receiver, Recorded, receiver

BODY = b'{"hash":"4f4d","status":"completed"}'
OLD, NEW, OTHER = (new_secret() for _ in range(3))


@pytest.fixture
def peer() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


def sent(peer: Receiver, *secrets: str) -> Recorded:
    """What arrives when a message is sent with a signature."""
    told = Message("msg_1", peer.url(), "job.completed", BODY, {})
    assert send(told, policy=LOOPBACK, version="1", sign=Signer(secrets)).ok
    return peer.requests[-1]


def verify(secret: str, body: bytes, headers: Mapping[str, str]) -> Any:
    return Webhook(secret).verify(body, dict(headers))


def test_the_library_of_receivers_takes_it(peer: Receiver) -> None:
    request = sent(peer, NEW)
    assert verify(NEW, request.body, dict(request.headers)) == {
        "hash": "4f4d",
        "status": "completed",
    }


def test_the_signature_is_what_the_specification_says(peer: Receiver) -> None:
    request = sent(peer, NEW)
    stamp = request.header("webhook-timestamp")
    assert abs(int(stamp or 0) - time.time()) < 10
    key = base64.b64decode(NEW.removeprefix("whsec_"))
    digest = hmac.new(key, f"msg_1.{stamp}.".encode() + BODY, hashlib.sha256).digest()
    assert request.header("webhook-signature") == f"v1,{base64.b64encode(digest).decode()}"


def test_the_signature_that_pixelflow_knows(peer: Receiver) -> None:
    request = sent(peer, NEW, OLD)
    stamp = request.header("X-Pixerve-Timestamp")
    assert stamp == request.header("webhook-timestamp")
    digest = hmac.new(NEW.encode(), f"{stamp}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert request.header("X-Pixerve-Signature") == f"sha256={digest}"
    assert request.header("X-Pixerve-Event") == "job.completed"


def test_while_secrets_rotate_both_verify(peer: Receiver) -> None:
    request = sent(peer, NEW, OLD)
    signatures = (request.header("webhook-signature") or "").split(" ")
    assert [each.partition(",")[0] for each in signatures] == ["v1", "v1"]
    for secret in (NEW, OLD):
        verify(secret, request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        verify(OTHER, request.body, dict(request.headers))


@pytest.mark.parametrize("changed", ["body", "webhook-id", "webhook-timestamp"])
def test_what_was_tampered_with_is_refused(peer: Receiver, changed: str) -> None:
    request = sent(peer, NEW)
    body, headers = request.body, dict(request.headers)
    if changed == "body":
        body = body.replace(b"completed", b"cancelled")
    elif changed == "webhook-id":
        headers[changed] = "msg_2"
    else:
        headers[changed] = str(int(headers[changed]) + 1)
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        verify(NEW, body, headers)


def test_an_old_message_is_refused() -> None:
    told = Message("msg_1", "https://a.example/", "job.completed", BODY, {})
    headers = {"webhook-id": told.id, **Signer((NEW,))(told, int(time.time()) - 301)}
    with pytest.raises(WebhookVerificationError, match="too old"):
        verify(NEW, BODY, headers)
    headers |= Signer((NEW,))(told, int(time.time()) - 200)
    verify(NEW, BODY, headers)


# endpoints

HOST, PORT, URL, PATH = (new_secret() for _ in range(4))
SIGNER = Signer(
    (OTHER,),
    {
        Endpoint.parse("Hooks.Example"): (HOST,),
        Endpoint.parse("hooks.example:8443"): (PORT,),
        Endpoint.parse("https://hooks.example/"): (URL,),
        Endpoint.parse("https://hooks.example/tenant"): (PATH, HOST),
        Endpoint.parse("[2606:4700::1]:80"): (PORT,),
    },
)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://elsewhere.example/", (OTHER,)),
        ("http://hooks.example/", (HOST,)),
        ("http://HOOKS.example:81/tenant", (HOST,)),
        ("https://hooks.example:8443/x", (PORT,)),
        ("https://hooks.example", (URL,)),
        ("https://hooks.example:443/other", (URL,)),
        ("https://hooks.example/tenant", (PATH, HOST)),
        ("https://hooks.example/tenant/a?b", (PATH, HOST)),
        ("https://hooks.example/tenant?b", (PATH, HOST)),
        ("https://hooks.example/tenants", (URL,)),
        ("https://hooks.example.evil.example/tenant", (OTHER,)),
        ("https://a.hooks.example/", (OTHER,)),
        ("http://[2606:4700::1]/", (PORT,)),
        ("https://[2606:4700::1]/", (OTHER,)),
    ],
)
def test_the_most_exact_endpoint_has_the_secret(url: str, secrets: tuple[str, ...]) -> None:
    assert SIGNER.secrets_for(url) == secrets


@pytest.mark.parametrize(
    "text", ["", "a b", "host/path", "ftp://host/", "https://host/?q", "https://u@host/", "host:x"]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(SecretError):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    "texts",
    [
        [],
        ["whsec_"],
        [NEW.removeprefix("whsec_")],
        ["whsec_" + base64.b64encode(b"x" * 23).decode()],
        ["whsec_" + base64.b64encode(b"x" * 65).decode()],
        [NEW, "whsec_ä"],
        [NEW + "!"],
        [NEW] * (MAX_SECRETS + 1),
    ],
)
def test_what_is_no_secret(texts: list[str]) -> None:
    with pytest.raises(SecretError) as caught:
        checked(texts)
    assert NEW not in str(caught.value)


def test_a_made_secret_is_good_and_hidden() -> None:
    assert checked([new_secret(), new_secret()])
    assert NEW not in repr(Signer((NEW,), {Endpoint.parse("a.example"): (NEW,)}))
