"""Google's storage: gcp-storage-emulator, and the token service that stands before it.

The emulator asks for no authorization, so a proxy before it does: it takes the tokens alone that
the service has given, for assertions signed by the account's key.
"""

import json
import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from urllib.request import Request, urlopen

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from gcp_storage_emulator.server import create_server

from tests.peers.ceph import free_ports
from tests.peers.faults import FaultyProxy, faulty

# What Google's library names, wherever the service is.
_AUDIENCE = "https://oauth2.googleapis.com/token"
logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)


def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@dataclass
class Google:
    """``endpoint`` is the guarded door, ``open_endpoint`` the emulator's own."""

    open_endpoint: str
    token_uri: str = ""
    endpoint: str = ""
    proxy: FaultyProxy = field(default_factory=FaultyProxy)
    key: rsa.RSAPrivateKey = field(default_factory=private_key)
    tokens: set[str] = field(default_factory=set)
    refusal: dict[str, str] | None = None

    def key_file(self, **changed: Any) -> str:
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "pixerve-test",
                "private_key_id": "1",
                "private_key": pem(self.key),
                "client_email": "writer@pixerve-test.iam.gserviceaccount.com",
                "token_uri": self.token_uri,
            }
            | changed
        )

    def make_bucket(self) -> str:
        name = f"pixerve-{secrets.token_hex(6)}"
        body = json.dumps({"name": name}).encode()
        url = f"{self.open_endpoint}/storage/v1/b?project=pixerve-test"
        with urlopen(Request(url, body, {"Content-Type": "application/json"})) as answer:
            answer.read()
        return name

    def keys(self, bucket: str) -> list[str]:
        return [each["name"] for each in self.objects(bucket)]

    def objects(self, bucket: str) -> list[dict[str, Any]]:
        with urlopen(f"{self.open_endpoint}/storage/v1/b/{bucket}/o") as answer:
            return list(json.load(answer).get("items", ()))

    def resource(self, bucket: str, key: str) -> dict[str, Any]:
        with urlopen(f"{self.open_endpoint}/storage/v1/b/{bucket}/o/{key}") as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def running() -> Iterator[Google]:
    port = free_ports(1)[0]
    emulator = create_server("127.0.0.1", port, in_memory=True)
    emulator.start()
    google = Google(f"http://127.0.0.1:{port}")
    try:
        with faulty(google.open_endpoint) as proxy, _token_service(google):
            google.proxy, google.endpoint = proxy, proxy.endpoint
            proxy.check = lambda given: given.removeprefix("Bearer ") in google.tokens
            yield google
    finally:
        emulator.stop()


@contextmanager
def _token_service(google: Google) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(google))
    google.token_uri = f"http://127.0.0.1:{server.server_port}/token"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(google: Google) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = self._judge(parse_qs(body.decode())["assertion"][0])
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _judge(self, assertion: str) -> tuple[int, dict[str, Any]]:
            if google.refusal:
                return 400, google.refusal
            try:
                public = google.key.public_key()
                jwt.decode(assertion, public, algorithms=["RS256"], audience=_AUDIENCE)
            except jwt.InvalidTokenError:
                refused = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
                return 400, refused
            token = secrets.token_hex(16)
            google.tokens.add(token)
            return 200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

        def log_message(self, *_: object) -> None:
            pass

    return Handler
