"""The admin's pages of credentials: one form per type, secrets only go in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.test import Client
from pytest_django import Settings

from credentials import fields, secret, service
from credentials.models import Credential, CredentialChange
from delivery import backends
from jobs.models import Job
from jobs.states import State
from tests.admin.conftest import HOSTILE, MakeJob

BASE = "/admin/credentials/credential"
SECRET = "hush-hush-secret"
FORM = {
    "key": "my-s3",
    "owner": "",
    "data_bucket": "pictures",
    "data_access_key_id": "AKIA1",
    "data_secret_access_key": SECRET,
    "data_timeout_s": "30",
    "data_addressing_style": "auto",
    "data_checksum": "auto",
}


@pytest.fixture
def roots(tmp_path: Path, settings: Settings) -> Path:
    settings.PIXERVE = settings.PIXERVE.model_copy(update={"local_roots": (tmp_path,)})
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def add(staff: Client, kind: str = "s3", **changes: str) -> Any:
    return staff.post(f"{BASE}/add/?type={kind}", {**FORM, **changes})


def page(made: Credential, rest: str = "change/") -> str:
    return f"{BASE}/{made.pk}/{rest}"


def made_by(staff: Client, **changes: str) -> Credential:
    answer = add(staff, **changes)
    assert answer.status_code == 302, answer.content.decode()
    return Credential.objects.get(key=changes.get("key", "my-s3"))


def text(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_the_type_is_chosen_first(staff: Client) -> None:
    found = text(staff.get(f"{BASE}/add/"))
    for kind in backends.names():
        assert f'href="?type={kind}"' in found
    assert "?type=s3" in text(staff.get(f"{BASE}/add/?type=nothing"))


@pytest.mark.parametrize("kind", backends.names())
def test_each_type_has_a_form_of_its_fields(staff: Client, kind: str) -> None:
    found = text(staff.get(f"{BASE}/add/?type={kind}"))
    for field in fields.of(kind).values():
        assert f'name="data_{field.name}"' in found
        assert field.title in found


def test_a_credential_is_registered(staff: Client) -> None:
    made = made_by(staff, owner="ann")
    assert made.options["bucket"] == "pictures"
    assert made.owner == "ann"
    assert secret.take(made) == {"secret_access_key": SECRET}
    assert CredentialChange.objects.get().who == "staff"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "a b"}, "letters, digits"),
        ({"data_bucket": ""}, "This field is required"),
        ({"data_secret_access_key": ""}, "This field is required"),
        ({"data_endpoint": "ftp://x"}, "should match pattern"),
        ({"data_timeout_s": "x"}, "Enter a number"),
        ({"data_acl": "x"}, "Select a valid choice"),
        ({"owner": "x" * 256}, "at most 255"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    staff: Client, changes: dict[str, str], words: str
) -> None:
    found = text(add(staff, **changes))
    assert words in found
    assert SECRET not in found
    assert not Credential.objects.exists()


def test_a_key_twice(staff: Client) -> None:
    made_by(staff)
    assert "exists" in text(add(staff))


def test_no_page_shows_the_secret(staff: Client) -> None:
    made = made_by(staff)
    for path in (f"{BASE}/", page(made), page(made, "delete/"), page(made, "history/")):
        assert SECRET not in text(staff.get(path))
    found = text(staff.get(page(made)))
    for shown in (made.fingerprint, "AKIA1", "pictures", "never", "staff", "keep it"):
        assert shown in found


def test_blank_secrets_are_kept_and_blank_options_go(staff: Client) -> None:
    made = made_by(staff, data_region="eu-west-1")
    answer = staff.post(page(made), {**FORM, "data_secret_access_key": "", "data_bucket": "other"})
    assert answer.status_code == 302
    made.refresh_from_db()
    assert made.options["bucket"] == "other"
    assert "region" not in made.options
    assert secret.take(made) == {"secret_access_key": SECRET}
    newest = CredentialChange.objects.order_by("-id")[0]
    assert set(newest.fields) == {"bucket", "region"}


def test_saving_what_is_there_changes_nothing(staff: Client) -> None:
    made = made_by(staff)
    assert staff.post(page(made), {**FORM, "data_secret_access_key": ""}).status_code == 302
    assert CredentialChange.objects.count() == 1


def test_an_optional_secret_can_be_forgotten(staff: Client) -> None:
    made = made_by(staff, data_session_token="token")
    assert "Forget the stored session token" in text(staff.get(page(made)))
    form = {**FORM, "data_secret_access_key": "", "forget_session_token": "on"}
    assert staff.post(page(made), form).status_code == 302
    made.refresh_from_db()
    assert set(secret.take(made)) == {"secret_access_key"}


def test_a_lost_key_leaves_every_page_open(staff: Client, settings: Settings) -> None:
    made = made_by(staff)
    new = Fernet.generate_key().decode()
    settings.KEYS = replace(settings.KEYS, credential_keys=(new,))
    for path in (f"{BASE}/", page(made)):
        assert "Unreadable" in text(staff.get(path))
    assert staff.get(page(made, "delete/")).status_code == 200
    told = text(staff.post(page(made, "test/"), follow=True))
    assert "credential_unreadable" in told
    assert staff.post(page(made), {**FORM, "data_secret_access_key": "anew"}).status_code == 302
    assert "Ready" in text(staff.get(page(made)))


def test_the_connection_is_tested(staff: Client, roots: Path) -> None:
    add(staff, "local", data_root=str(roots))
    made = Credential.objects.get()
    assert "It works" in text(staff.post(page(made, "test/"), follow=True))
    Credential.objects.update(options={"root": "/etc"})
    assert "It does not work: bad_options" in text(staff.post(page(made, "test/"), follow=True))
    assert staff.get(page(made, "test/")).status_code == 405


def test_deleting_asks_first(staff: Client) -> None:
    made = made_by(staff)
    assert "cannot be brought back" in text(staff.get(page(made, "delete/")))
    assert Credential.objects.exists()
    assert staff.post(page(made, "delete/")).status_code == 302
    assert not Credential.objects.exists()


def test_deleting_in_use_is_refused(staff: Client, make_job: MakeJob) -> None:
    made = made_by(staff)
    job: Job = make_job(State.PENDING, spec={"storageKeys": {"s3": "my-s3"}})
    assert str(job.uid) in text(staff.get(page(made, "delete/")))
    assert str(job.uid) in text(staff.post(page(made, "delete/"), follow=True))
    assert Credential.objects.exists()


def test_search_and_filter(staff: Client) -> None:
    made_by(staff, key="one", owner="ann")
    made_by(staff, key="two")
    for query, found, other in [("q=one", "one", "two"), ("q=ann", "one", "two")]:
        shown = text(staff.get(f"{BASE}/?{query}"))
        assert f">{found}</a>" in shown
        assert f">{other}</a>" not in shown
    assert ">two</a>" in text(staff.get(f"{BASE}/?type__exact=s3"))


def test_hostile_owners_are_text(staff: Client) -> None:
    made = made_by(staff, owner=HOSTILE)
    for path in (f"{BASE}/", page(made), page(made, "delete/")):
        assert HOSTILE not in text(staff.get(path))


@pytest.mark.parametrize("rest", ["change/", "delete/", "test/"])
def test_others_may_do_nothing(
    staff: Client, django_user_model: Any, rest: str, client: Client
) -> None:
    made = made_by(staff)
    for _ in range(2):
        answer = client.post(page(made, rest), FORM)
        assert (answer.status_code, answer["Location"][:13]) == (302, "/admin/login/")
        client.force_login(django_user_model.objects.get_or_create(username="paula")[0])
    assert add(client).status_code == 302
    assert Credential.objects.count() == CredentialChange.objects.count() == 1


def test_a_forged_form_does_nothing(staff: Client, django_user_model: Any) -> None:
    made = made_by(staff)
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(django_user_model.objects.get(username="staff"))
    for rest in ("change/", "delete/", "test/"):
        assert forged.post(page(made, rest), FORM).status_code == 403
    assert service.find("my-s3")


def test_what_is_gone_leads_back(staff: Client) -> None:
    for unknown in ("b5b5b5b5-0000-4000-8000-000000000000", "5"):
        for rest in ("change/", "delete/"):
            assert staff.get(f"{BASE}/{unknown}/{rest}").status_code == 302
