"""Everything that a request can be refused with, as one tree.

    Refused                       .status .code .field .retry_after
    ├── Unauthorized       401    no token, or one that does not hold
    ├── Forbidden          403    a good token at the wrong door
    ├── BadRequest         400    the request itself is malformed
    ├── NotFound           404    unknown, or not yours
    ├── MethodNotAllowed   405    the path is right, the method is not
    ├── Conflict           409    the state of the job forbids it
    ├── Gone               410    it was there once
    ├── PayloadTooLarge    413    over a byte limit
    ├── UnsupportedPicture 415    not a picture that we read, by its bytes
    ├── RangeNotSatisfiable 416   no byte of the file is in the range
    ├── InvalidSpec        422    the token's `job` asks for something impossible
    ├── TooManyRequests    429    slow down
    └── Unavailable        503    try again later

`code` is stable and for programs, the message is for people. `jobs.api.problems` turns each into
RFC 9457 problem details.
"""


class Refused(Exception):
    """A request that gets a 4xx or 503; `errors` lists further [{field, message}] where known."""

    status = 400
    title = "Bad request"

    def __init__(
        self,
        code: str,
        message: str,
        *,
        field: str | None = None,
        errors: list[dict[str, str]] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.errors = errors or []
        self.retry_after = retry_after


class BadRequest(Refused):
    pass


class Unauthorized(Refused):
    status, title = 401, "Not authenticated"


class Forbidden(Refused):
    status, title = 403, "Not allowed"


class NotFound(Refused):
    status, title = 404, "Not found"


class MethodNotAllowed(Refused):
    status, title = 405, "Method not allowed"


class Conflict(Refused):
    status, title = 409, "Conflict"


class Gone(Refused):
    status, title = 410, "Gone"


class PayloadTooLarge(Refused):
    status, title = 413, "Too large"


class UnsupportedPicture(Refused):
    status, title = 415, "Not an accepted picture"


class RangeNotSatisfiable(Refused):
    status, title = 416, "Range not satisfiable"


class InvalidSpec(Refused):
    status, title = 422, "Invalid instructions"


class TooManyRequests(Refused):
    status, title = 429, "Too many requests"


class Unavailable(Refused):
    status, title = 503, "Temporarily unavailable"
