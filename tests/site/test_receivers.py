"""The receivers' code of docs/api.md does what the page says, on a callback that really came."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from delivery.signing import Signer, new_secret
from delivery.webhook import Message, send
from pixerve_site.config import PROJECT_ROOT
from tests.acceptance.endpoint import Call, endpoint
from tests.delivery.peers import LOOPBACK

OLD, NEW = new_secret(), new_secret()
NODE = shutil.which("node")


@contextmanager
def delivered() -> Iterator[Call]:
    with endpoint() as receiver:
        body = json.dumps({"hash": "4f4d", "status": "completed"}).encode()
        told = Message("msg_1", receiver.url, "job.completed", body, {})
        assert send(told, policy=LOOPBACK, version="1", sign=Signer((NEW, OLD))).ok
        yield receiver.calls[0]


def snippet(language: str, name: str) -> str:
    """The one code block in this language that defines `name`."""
    page = (PROJECT_ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    [found] = [block for block in blocks if re.search(rf"(def|function) {name}\(", block)]
    return str(found)


def from_page(name: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(snippet("python", name), namespace)  # noqa: S102 - our own page
    return namespace[name]


def test_the_python_code_with_the_library() -> None:
    verified = from_page("verified")
    with delivered() as call:
        headers = dict(call.headers)
        for secret in (OLD, NEW):
            assert verified(secret, call.body, headers) == {"hash": "4f4d", "status": "completed"}
        assert verified(new_secret(), call.body, headers) is None
        assert verified(NEW, call.body + b" ", headers) is None


def test_the_python_code_for_who_knew_pixelflow() -> None:
    verified = from_page("verified_as_pixelflow")
    with delivered() as call:
        headers = dict(call.headers)
        assert verified(NEW, call.body, headers)
        assert not verified(OLD, call.body, headers)
        assert not verified(NEW, call.body + b" ", headers)
        old = {**headers, "X-Pixerve-Timestamp": "1795250169"}
        assert not verified(NEW, call.body, old)


def node() -> str:
    """Node itself, or the one that comes with the browser tests."""
    if NODE:
        return NODE
    import playwright

    return str(Path(playwright.__file__).parent / "driver" / "node")


@pytest.mark.parametrize("which", ["good", "old secret", "stranger", "changed", "old", "unsigned"])
def test_the_node_code(which: str, tmp_path: Path) -> None:
    with delivered() as call:
        headers = {name.lower(): value for name, value in call.headers.items()}
        secret, body = NEW, call.body.decode()
    match which:
        case "old secret":
            secret = OLD
        case "stranger":
            secret = new_secret()
        case "changed":
            body += " "
        case "old":
            told = Message("msg_1", "http://127.0.0.1/", "job.completed", body.encode(), {})
            headers |= Signer((NEW,))(told, int(headers["webhook-timestamp"]) - 400)
        case "unsigned":
            del headers["webhook-signature"]
    call_it = (
        f"verified({json.dumps(secret)}, Buffer.from({json.dumps(body)}), {json.dumps(headers)})"
    )
    script = tmp_path / "verify.cjs"
    script.write_text(f"{snippet('js', 'verified')}\nconsole.log({call_it});")
    ended = subprocess.run(
        [node(), str(script)], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == ("true\n" if which in {"good", "old secret"} else "false\n")
