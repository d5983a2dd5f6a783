"""Trying a connection: bounded in time and number, and guarded where a stranger chose the host."""

import socket
import threading
from collections.abc import Iterator

import pytest

from credentials import trial
from credentials.errors import TrialsUnderWay
from credentials.models import Credential
from tests.credentials.conftest import S3, Configure, make
from tests.server import free_port, wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A peer that takes connections and never says a word; whoever waits is let go at the end."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)
    for each in taken:
        each.close()
    wait_for(lambda: not _running(), what="the end of the trials", within_s=60)


def _running() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "credential-trial"]


def credential(port: int, owner: str = "") -> Credential:
    data = {**S3, "endpoint": f"http://127.0.0.1:{port}", "timeout_s": 2}
    return make(data=data, owner=owner)


def test_a_silent_storage_costs_no_more_than_its_time(silent: socket.socket) -> None:
    made = credential(silent.getsockname()[1])
    verdict = trial.run(made, longest_s=0.2)
    assert (verdict.ok, verdict.code) == (False, "timeout")
    assert 0.2 <= verdict.duration_s < 1.5


def test_only_a_few_at_once(silent: socket.socket) -> None:
    made = credential(silent.getsockname()[1])
    for _ in range(trial.SIDE_BY_SIDE):
        assert trial.run(made, longest_s=0.05).code == "timeout"
    with pytest.raises(TrialsUnderWay):
        trial.run(made, longest_s=0.05)


def test_places_come_back() -> None:
    made = credential(free_port())
    for _ in range(trial.SIDE_BY_SIDE + 2):
        assert trial.run(made).code == "store_unavailable"


@pytest.mark.parametrize(("owner", "code"), [("", "store_unavailable"), ("ann", "address_refused")])
def test_a_strangers_host_must_be_public(configure: Configure, owner: str, code: str) -> None:
    configure(callback_allow_private=())
    assert trial.run(credential(free_port(), owner)).code == code
