"""From a storage key to a destination: unknown and foreign ones are refused in the same words."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from credentials import resolver, service
from credentials.errors import InvalidCredential
from credentials.models import Credential
from credentials.resolver import UnknownCredential, Unreadable, require, resolve
from tests.credentials.conftest import make, new_key

pytestmark = [pytest.mark.sql, pytest.mark.django_db]
Keys = Callable[..., None]


def refusal(kind: str, key: str, subject: str) -> str:
    words = set()
    for ask in (require, resolve):
        with pytest.raises(UnknownCredential) as caught:
            ask(kind, key, subject=subject)
        words.add(str(caught.value))
    assert len(words) == 1
    return words.pop()


@pytest.mark.parametrize("kind", ["s3", "gcs", "sftp", "local"])
def test_what_is_not_registered(kind: str) -> None:
    words = refusal(kind, "my-key", "ann")
    assert kind in words
    assert "my-key" in words


def test_unknown_foreign_and_of_another_type_are_told_apart_by_nobody() -> None:
    unknown = refusal("s3", "my-s3", "eve")
    make(owner="ann")
    assert refusal("s3", "my-s3", "eve") == unknown
    assert refusal("gcs", "my-s3", "ann") == unknown.replace("s3 cred", "gcs cred").replace(
        "'eve'", "'ann'"
    )


def test_a_subject_may_name_its_own_and_shared_ones() -> None:
    make("shared")
    make("anns", owner="ann")
    for key in ("shared", "anns"):
        require("s3", key, subject="ann")
    require("s3", "shared", subject="eve")


def test_a_destination() -> None:
    made = make(owner="ann")
    found = resolve("s3", "my-s3", subject="ann")
    assert (found.type, found.key) == ("s3", "my-s3")
    assert found.options == {"bucket": "pictures", "access_key_id": "AKIA1"}
    assert found.secret == {"secret_access_key": "hush-secret"}
    assert found.version == f"{made.pk}.1"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(("owner", "guarded"), [("", False), ("ann", True)])
def test_who_is_guarded(owner: str, guarded: bool) -> None:
    make(owner=owner)
    assert resolve("s3", "my-s3", subject="ann").guarded is guarded


def test_each_change_is_a_new_version() -> None:
    made = make()
    seen = {resolve("s3", "my-s3", subject="ann").version}
    for data in ({"bucket": "other"}, {"secret_key": "another"}):
        service.change("my-s3", data=data, who="boss")
        seen.add(resolve("s3", "my-s3", subject="ann").version)
    service.change("my-s3", data={"bucket": "other", "secret_key": ""}, who="boss")
    seen.add(resolve("s3", "my-s3", subject="ann").version)
    assert len(seen) == 3
    service.delete("my-s3", who="boss")
    assert make().pk != made.pk


def test_what_is_stored_is_sent_to_nobody_else() -> None:
    make()
    elsewhere = {"endpoint": "https://elsewhere.example"}
    with pytest.raises(InvalidCredential) as caught:
        service.change("my-s3", data={**elsewhere, "secret_key": ""}, who="boss")
    assert caught.value.field == "data.secret_access_key"
    assert "endpoint" not in resolve("s3", "my-s3", subject="ann").options
    service.change("my-s3", data={**elsewhere, "secret_key": "another"}, who="boss")
    assert resolve("s3", "my-s3", subject="ann").secret == {"secret_access_key": "another"}


def test_a_lost_key(keys: Keys) -> None:
    make()
    keys(new_key())
    with pytest.raises(Unreadable):
        resolve("s3", "my-s3", subject="ann")
    require("s3", "my-s3", subject="ann")
    assert Credential.objects.get().last_used_at is None


def test_secrets_cannot_be_swapped_between_rows() -> None:
    mine, other = make("mine"), make("other", data={**_s3(), "secret_key": "another"})
    Credential.objects.filter(pk=mine.pk).update(sealed=other.sealed)
    with pytest.raises(Unreadable):
        resolve("s3", "mine", subject="ann")
    assert resolve("s3", "other", subject="ann").secret == {"secret_access_key": "another"}


def test_use_is_noted_at_most_once_a_minute(
    django_assert_num_queries: Callable[[int], AbstractContextManager[object]],
) -> None:
    made = make()
    resolve("s3", "my-s3", subject="ann")
    first = _used(made)
    assert first is not None
    with django_assert_num_queries(1):
        resolve("s3", "my-s3", subject="ann")
    assert _used(made) == first
    past = timezone.now() - timedelta(seconds=61)
    Credential.objects.update(last_used_at=past)
    resolve("s3", "my-s3", subject="ann")
    assert (_used(made) or past) > past
    require("s3", "my-s3", subject="ann")


def test_asking_is_no_use() -> None:
    made = make()
    require("s3", "my-s3", subject="ann")
    assert _used(made) is None


def test_the_local_roots_come_along(roots: Path) -> None:
    make("disk", "local", {"root": str(roots / "a")})
    assert resolver.resolve("local", "disk", subject="ann").local_roots == (roots,)


def _used(made: Credential) -> object:
    made.refresh_from_db()
    return made.last_used_at


def _s3() -> dict[str, str]:
    return {"bucket": "pictures", "access_key": "AKIA1", "secret_key": "x"}
