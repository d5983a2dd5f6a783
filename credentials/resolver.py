"""From a token's storage key to a place to deliver to.

No kind of storage can be registered yet, so every key is unknown; the API names it and refuses.
"""


class UnknownCredential(Exception):
    """No credential of this kind and key is registered, or it is not this subject's."""


def require(kind: str, key: str, *, subject: str) -> None:
    """Raise UnknownCredential unless `subject` may deliver with the credential `key` of `kind`."""
    raise UnknownCredential(
        f"no {kind} credential with the key {key!r} is registered for {subject!r}"
    )
