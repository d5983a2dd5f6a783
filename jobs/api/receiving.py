"""The streaming side of POST /upload: each `file` part goes straight to staging."""

from contextlib import suppress
from typing import Any

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

from jobs.errors import BadRequest, PayloadTooLarge, Refused, UnsupportedPicture
from jobs.incoming import Incoming, Staged

FIELD = "file"
CHUNK = 64 * 1024  # as gunicorn reads from the socket, and why: pixerve_site.gunicorn
MAX_NAME = 255


class Received(UploadedFile):  # type: ignore[type-arg]
    """One file part: either staged, or refused with the reason; the parts beside it go on."""

    def __init__(self, name: str, staged: Staged | None, refused: Refused | None) -> None:
        super().__init__(file=None, name=name or "unnamed")
        self.staged = staged
        self.refused = refused

    def close(self) -> None:
        """Django calls this for every upload at the end of a request."""
        if self.staged is not None and self.staged.hold is not None:
            self.staged.hold.release()


class StagingHandler(FileUploadHandler):
    """Django's upload handler that writes, hashes and sniffs in one pass.

    What is wrong with one file's bytes is noted, its rest is read past, and the next part gets its
    chance; what breaks the request (a full disk, a foreign field) ends it.
    """

    chunk_size = CHUNK

    def __init__(self, request: HttpRequest, *, limit: int) -> None:
        super().__init__(request)
        self._limit = limit
        self._incoming: Incoming | None = None
        self._refused: Refused | None = None
        self._staged: list[Incoming] = []
        self.interrupted = False  # the form ended in the middle of a file

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.field_name != FIELD:
            raise BadRequest(
                "unexpected_field", f"send pictures in the field `{FIELD}`", field=FIELD
            )
        self._refused = None
        self._incoming = Incoming((self.file_name or "")[-MAX_NAME:], limit=self._limit)
        self._staged.append(self._incoming)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self._refused is None and self._incoming is not None:
            try:
                self._incoming.write(raw_data)
            except (PayloadTooLarge, UnsupportedPicture) as error:
                self._refuse(error)

    def file_complete(self, file_size: int) -> Received:
        staged = None
        if self._refused is None and self._incoming is not None:
            try:
                staged = self._incoming.finish()
            except (BadRequest, UnsupportedPicture) as error:
                self._refuse(error)
        return Received(self.file_name or "", staged, self._refused)

    def _refuse(self, error: Refused) -> None:
        self._refused = error
        if self._incoming is not None:
            self._incoming.abort()

    def upload_interrupted(self) -> None:
        self.interrupted = True

    def abort(self) -> None:
        """Discard everything that this request brought."""
        for incoming in self._staged:
            incoming.abort()


def receive(request: HttpRequest, *, limit: int, most: int) -> list[Received]:
    """Stream a multipart body into staging; every `file` part in order.

    Raises BadRequest, PayloadTooLarge, Unavailable; then nothing is left in staging.
    """
    if not (request.content_type or "").startswith("multipart/form-data"):
        raise BadRequest(
            "not_multipart", "send the picture as multipart/form-data, in the field `file`"
        )
    handler = StagingHandler(request, limit=limit)
    request.upload_handlers = [handler]
    try:
        found = request.FILES.getlist(FIELD)
    except TooManyFilesSent:
        handler.abort()
        raise BadRequest(
            "too_many_files", f"one request may bring at most {most} files", field=FIELD
        ) from None
    except MultiPartParserError as error:
        handler.abort()
        raise BadRequest("malformed_request", f"the form could not be read: {error}") from None
    except BaseException:
        with suppress(OSError):
            handler.abort()
        raise
    if handler.interrupted:
        handler.abort()
        raise BadRequest("malformed_request", "the form ends before its last boundary")
    if not found:
        raise BadRequest("file_missing", "the form has no file in the field `file`", field=FIELD)
    return [each for each in found if isinstance(each, Received)]
