"""Bells through Redis: heard on other hosts, and no harm when Redis is away."""

import logging
import time
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from jobs import far_bells
from jobs.bells import Bell
from tests.peers import redis
from tests.peers.redis import Redis
from tests.server import wait_for

pytestmark = pytest.mark.skipif(redis.missing() is not None, reason=str(redis.missing()))


@pytest.fixture(scope="module")
def peer() -> Iterator[Redis]:
    with redis.running() as found:
        yield found


@pytest.fixture
def bell(peer: Redis, configure: Callable[..., None], request: pytest.FixtureRequest) -> Bell:
    """One that listens, on a channel of this test."""
    configure(broker_url=SecretStr(peer.url))
    found = Bell(request.node.name)

    def listening() -> bool:
        found.wait(0)
        return bool(peer.client().pubsub_numsub(far_bells._channel(found._name))[0][1])

    wait_for(listening, what="a listener")
    found.wait(0.2)  # it is rung when listening begins
    return found


def ring_elsewhere(peer: Redis, bell: Bell) -> None:
    """As another host of the same installation does."""
    peer.client().publish(far_bells._channel(bell._name), b"another host")


def test_a_ring_of_another_host_is_heard(peer: Redis, bell: Bell) -> None:
    started = time.monotonic()
    ring_elsewhere(peer, bell)
    assert bell.wait(20) is True
    assert time.monotonic() - started < 10


def test_a_ring_is_heard_once_on_its_own_host(bell: Bell) -> None:
    bell.ring()
    assert bell.wait(20) is True
    assert bell.wait(0.3) is False


def test_a_ring_goes_out(peer: Redis, bell: Bell) -> None:
    with peer.client().pubsub(ignore_subscribe_messages=True) as line:
        line.subscribe(far_bells._channel(bell._name))
        bell.ring()
        message = wait_for(lambda: line.get_message(timeout=1), what="the ring")
    assert message["data"] == far_bells._here()


def test_other_installations_have_other_channels(
    bell: Bell, settings: pytest.FixtureRequest
) -> None:
    before = far_bells._channel("queue")
    settings.SECRET_KEY = "another"  # type: ignore[attr-defined]
    assert far_bells._channel("queue") != before


def test_redis_away_and_back(peer: Redis, bell: Bell, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pixerve.bells"):
        peer.kill()
        try:
            wait_for(lambda: caplog.records, what="a word about it")
            started = time.monotonic()
            for _ in range(50):
                bell.ring()
            assert time.monotonic() - started < 5
            assert bell.wait(20) is True  # this host's own
            assert far_bells.answers() is False
        finally:
            peer.start()
        wait_for(lambda: len(caplog.records) == 2, what="the next word")
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]
    assert peer.password not in caplog.text
    assert far_bells.answers() is True
    bell.wait(2)  # rung when it began to listen again
    ring_elsewhere(peer, bell)
    assert bell.wait(20) is True


def test_without_redis_nothing_is_asked() -> None:
    assert far_bells.answers() is None
    far_bells.ring("queue")
