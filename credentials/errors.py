"""What a call about credentials can be refused with, as one tree.

    CredentialError                 .code .message .field .errors
    ├── UnknownCredential    404    no such key, or not this subject's: the same words for both
    ├── InvalidCredential    422    a field is unknown, missing or wrong; `errors` lists them
    ├── KeyTaken             409    another credential has this key
    ├── InUse                409    jobs still need it
    └── TrialsUnderWay        429    as many connections are tried already as may be at once

No message ever holds a secret. `jobs.api.problems` turns each into problem details.
"""


class CredentialError(Exception):
    """`errors` lists further [{field, message}] where known; `retry_after` is in seconds."""

    status, title = 422, "Invalid credential"
    retry_after: int | None = None

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.errors = errors or []


class UnknownCredential(CredentialError):
    """There is none with this key, or it is another subject's."""

    status, title = 404, "Not found"

    def __init__(self, message: str) -> None:
        super().__init__("unknown_credential", message)


class InvalidCredential(CredentialError):
    """The first of `errors` gives field and message."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        first = errors[0]
        super().__init__(
            "invalid_credential",
            f"{first['field']}: {first['message']}",
            field=first["field"],
            errors=errors,
        )


class KeyTaken(CredentialError):
    """Registering does not replace: PATCH does."""

    status, title = 409, "Conflict"

    def __init__(self, key: str) -> None:
        super().__init__(
            "credential_exists", f"a credential with the key {key!r} exists", field="key"
        )


class InUse(CredentialError):
    """`users` are named, a few of them where there are `more`."""

    status, title = 409, "Conflict"

    def __init__(self, users: list[str], more: bool) -> None:
        named = ", ".join(users) + (" and more" if more else "")
        super().__init__("credential_in_use", f"needed until they end: {named}")


class TrialsUnderWay(CredentialError):
    """A connection is tried for seconds, so only a few may be at once."""

    status, title, retry_after = 429, "Too many requests", 5

    def __init__(self) -> None:
        super().__init__("too_many_requests", "other connections are being tried; try again soon")
