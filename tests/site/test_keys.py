"""Keys: made once, private, the same for every process, and checked."""

import json
import multiprocessing
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from delivery.signing import new_secret
from pixerve_site.config import Config, ConfigError
from pixerve_site.keys import Keys, load

LONG = "a secret of at least thirty-two bytes"


def config(folder: Path, **secrets: str) -> Config:
    return Config(data_dir=folder, **{name: SecretStr(text) for name, text in secrets.items()})


def test_missing_keys_are_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    made = load(config(folder))
    names = {path.name for path in made.made}
    assert names == {"secret_key", "jwt.json", "credential_keys", "webhook_secret"}
    assert names == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_start_finds_the_same(tmp_path: Path) -> None:
    first, second = load(config(tmp_path)), load(config(tmp_path))
    assert second.made == ()
    assert (first.secret_key, first.jwt_secret, first.credential_keys) == (
        second.secret_key,
        second.jwt_secret,
        second.credential_keys,
    )


def test_the_upload_secret_is_in_its_json_file(tmp_path: Path) -> None:
    made = load(config(tmp_path))
    assert json.loads((tmp_path / "jwt.json").read_text()) == {"secret": made.jwt_secret}
    assert made.jwt_secret != made.secret_key


def test_every_installation_has_its_own(tmp_path: Path) -> None:
    one, two = load(config(tmp_path / "1")), load(config(tmp_path / "2"))
    assert one.secret_key != two.secret_key
    assert one.jwt_secret != two.jwt_secret
    assert one.credential_keys != two.credential_keys


def test_given_keys_are_used_and_none_is_made(tmp_path: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    made = load(
        config(
            tmp_path / "fresh",
            secret_key=LONG + "1",
            jwt_secret=LONG + "2",
            credential_keys=f"{new}, {old}",
            webhook_secret=new_secret(),
        )
    )
    assert (made.secret_key, made.jwt_secret) == (LONG + "1", LONG + "2")
    assert made.credential_keys == (new, old)
    assert not (tmp_path / "fresh").exists()


def test_public_keys_make_no_shared_secret(tmp_path: Path) -> None:
    made = load(config(tmp_path, jwt_keys="{}"))
    assert (made.jwt_secret, made.jwt_keys) == (None, "{}")
    assert not (tmp_path / "jwt.json").exists()


@pytest.mark.parametrize("field", ["secret_key", "jwt_secret"])
def test_short_secrets(tmp_path: Path, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, **{field: "x" * 31}))
    assert f"PIXERVE_{field.upper()}" in str(caught.value)
    assert "x" * 31 not in str(caught.value)
    assert load(config(tmp_path, **{field: "x" * 32}))


def test_a_pem_key_is_no_shared_secret(tmp_path: Path) -> None:
    pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----"
    with pytest.raises(ConfigError, match="PIXERVE_JWT_KEYS"):
        load(config(tmp_path, jwt_secret=pem))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"secret": ""}', '{"secret": "short"}'])
def test_a_broken_jwt_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "jwt.json").write_text(text)
    with pytest.raises(ConfigError, match=r"jwt\.json"):
        load(config(tmp_path))


@pytest.mark.parametrize("text", ["x", "short,", "A" * 40])
def test_credential_keys_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="PIXERVE_CREDENTIAL_KEYS") as caught:
        load(config(tmp_path, credential_keys=text))
    assert text not in str(caught.value).replace("PIXERVE_CREDENTIAL_KEYS", "") or text == "x"


def test_an_empty_key_file_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "credential_keys").write_text("")
    with pytest.raises(ConfigError):
        load(config(tmp_path))


def test_keys_do_not_show(tmp_path: Path) -> None:
    made = load(config(tmp_path))
    shown = repr(made)
    for secret in (made.secret_key, made.jwt_secret or "", *made.credential_keys):
        assert secret not in shown


def _load(folder: Path, start: object, found: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    made = load(Config(data_dir=folder))
    found.put((made.secret_key, made.jwt_secret, made.credential_keys))  # type: ignore[attr-defined]


def test_many_first_starts_at_once_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, found = context.Event(), context.Queue()
    starters = [
        context.Process(target=_load, args=(tmp_path / "fresh", start, found)) for _ in range(8)
    ]
    for each in starters:
        each.start()
    start.set()
    seen = {found.get(timeout=60) for _ in starters}
    for each in starters:
        each.join()
    found.close()
    found.join_thread()
    assert len(seen) == 1
    assert len(list((tmp_path / "fresh").iterdir())) == 4


def test_keys_are_of_one_type(tmp_path: Path) -> None:
    assert isinstance(load(config(tmp_path)), Keys)


# webhooks

ONE, TWO, THREE = (new_secret() for _ in range(3))


def test_webhook_secrets_newest_first_and_by_endpoint(tmp_path: Path) -> None:
    mapping = {"hooks.example": THREE, "https://a.example/b": [TWO, ONE]}
    keys = load(
        config(tmp_path, webhook_secret=f"{TWO}, {ONE}", webhook_secrets=json.dumps(mapping))
    )
    assert keys.signer.secrets_for("https://elsewhere.example/") == (TWO, ONE)
    assert keys.signer.secrets_for("http://hooks.example/x") == (THREE,)
    assert keys.signer.secrets_for("https://a.example/b/c") == (TWO, ONE)
    assert not (tmp_path / "webhook_secret").exists()
    assert not any(secret in repr(keys) for secret in (ONE, TWO, THREE))


def test_the_made_webhook_secret_is_the_one_in_the_file(tmp_path: Path) -> None:
    keys = load(config(tmp_path))
    assert keys.signer.default == ((tmp_path / "webhook_secret").read_text().strip(),)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"webhook_secret": "whsec_short"}, "PIXERVE_WEBHOOK_SECRET: secret 1"),
        ({"webhook_secret": f"{ONE} zebra"}, "PIXERVE_WEBHOOK_SECRET: secret 2"),
        ({"webhook_secrets": "zebra"}, "PIXERVE_WEBHOOK_SECRETS: write it like"),
        ({"webhook_secrets": "[]"}, "PIXERVE_WEBHOOK_SECRETS: write it like"),
        ({"webhook_secrets": '{"a.example": [1]}'}, "PIXERVE_WEBHOOK_SECRETS: write it like"),
        ({"webhook_secrets": '{"a.example": []}'}, "PIXERVE_WEBHOOK_SECRETS: entry 1"),
        ({"webhook_secrets": '{"a.example": "zebra"}'}, "PIXERVE_WEBHOOK_SECRETS: entry 1"),
        ({"webhook_secrets": f'{{"{ONE}": "a.example"}}'}, "PIXERVE_WEBHOOK_SECRETS: entry 1"),
    ],
)
def test_wrong_webhook_secrets(tmp_path: Path, given: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config(tmp_path, **given))
    assert str(caught.value).startswith(named)
    assert "zebra" not in str(caught.value)
    assert ONE not in str(caught.value)
