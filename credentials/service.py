"""What staff do with credentials: make, change, delete. The API and the admin both call these.

Each writes a CredentialChange in the same transaction: who, when, which fields; never values.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from credentials import fields, options, secret, usage
from credentials.errors import InUse, KeyTaken, UnknownCredential
from credentials.models import KEY_PATTERN, MAX_OWNER, Action, Credential, CredentialChange, by_key
from credentials.options import Parsed, wrong
from credentials.sealing import Unreadable

MAX_WHO = 150
# Who changes one of these could have the stored secrets sent to himself.
_RECEIVERS = frozenset({"host", "port", "host_key", "endpoint"})


def find(key: str) -> Credential:
    """Raises UnknownCredential."""
    return _get(by_key(key), key)


def _get(rows: Any, key: str) -> Credential:
    found: Credential | None = rows.first()
    if found is None:
        raise UnknownCredential(f"there is no credential with the key {key[:128]!r}")
    return found


def create(*, key: str, kind: str, data: Mapping[str, Any], owner: str, who: str) -> Credential:
    """A new credential. Raises InvalidCredential, KeyTaken."""
    check_key(key)
    options.check_type(kind)
    check_owner(owner)
    parsed = options.parse(kind, options.by_name(kind, data))
    made = Credential(key=key, type=kind, options=parsed.options, owner=owner)
    secret.put(made, parsed.secret)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
            named = [*parsed.options, *parsed.secret, *(["owner"] if owner else [])]
            _note(key, Action.CREATED, named, who)
    except IntegrityError:
        raise KeyTaken(key) from None
    return made


def change(
    key: str, *, data: Mapping[str, Any] | None = None, owner: str | None = None, who: str
) -> Credential:
    """Replace the fields that are given.

    An empty secret stays as it is, `None` takes a field away. Raises UnknownCredential,
    InvalidCredential.
    """
    with transaction.atomic():
        found = _get(by_key(key).select_for_update(), key)
        changed = _change_data(found, data) if data else []
        if owner is not None and owner != found.owner:
            check_owner(owner)
            found.owner = owner
            changed.append("owner")
        if changed:
            found.revision += 1
            found.updated_at = timezone.now()
            found.save()
            _note(key, Action.CHANGED, changed, who)
    return found


def delete(key: str, *, who: str) -> None:
    """Raises UnknownCredential, InUse."""
    with transaction.atomic():
        found = _get(by_key(key).select_for_update(), key)
        users, more = usage.users(found)
        if users:
            raise InUse(users, more)
        found.delete()
        _note(key, Action.DELETED, [], who)


def history(key: str, most: int = 50) -> list[CredentialChange]:
    """The newest changes first."""
    return list(CredentialChange.objects.filter(key=key).order_by("-id")[:most])


def check_key(key: str) -> None:
    """Raises InvalidCredential for what is no key."""
    if not re.fullmatch(KEY_PATTERN, key):
        raise wrong("key", 'one to 128 letters, digits, ".", "_" and "-"')


def check_owner(owner: str) -> None:
    """Raises InvalidCredential for what no subject can be."""
    if len(owner) > MAX_OWNER or not owner.isprintable():
        raise wrong("owner", f"a subject: at most {MAX_OWNER} printable characters, or empty")


def _change_data(found: Credential, data: Mapping[str, Any]) -> list[str]:
    """Put `data` into the row; returns the names of the fields that are other ones now."""
    given = _without_blank_secrets(found, options.by_name(found.type, data))
    before = Parsed(found.options, _old_secret(found, given))
    after = options.parse(found.type, {**before.options, **before.secret, **given})
    changed = _differences(before, after)
    kept = [name for name in after.secret if name not in given]
    if kept and _RECEIVERS.intersection(changed):
        raise wrong(f"data.{kept[0]}", "give it anew: it would be sent to another receiver")
    if changed:
        found.options = after.options
        secret.put(found, after.secret)
    return changed


def _secret_names(found: Credential) -> list[str]:
    return [name for name, each in fields.of(found.type).items() if each.secret]


def _without_blank_secrets(found: Credential, given: dict[str, Any]) -> dict[str, Any]:
    blank = {name for name in _secret_names(found) if given.get(name) == ""}
    return {name: value for name, value in given.items() if name not in blank}


def _old_secret(found: Credential, given: Mapping[str, Any]) -> dict[str, str]:
    """Where the key is lost, nothing; but then secrets must be given anew, or a change of another
    field would throw away what a key that is put back could still open."""
    try:
        return secret.take(found)
    except Unreadable:
        names = _secret_names(found)
        if any(given.get(name) for name in names):
            return {}
    message = "what is stored cannot be read; give it anew, or put its key back"
    raise wrong(f"data.{names[0]}", message)


def _differences(before: Parsed, after: Parsed) -> list[str]:
    old, new = before.options | before.secret, after.options | after.secret
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _note(key: str, action: Action, names: Iterable[str], who: str) -> None:
    CredentialChange.objects.create(key=key, action=action, fields=list(names), who=who[:MAX_WHO])
