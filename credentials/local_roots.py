"""Where credentials of the type `local` may lead: below the folders of `PIXERVE_LOCAL_ROOTS`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from credentials.errors import InvalidCredential
from credentials.models import Credential

TYPE, FIELD = "local", "root"


def check(kind: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidCredential for a folder outside, links followed, and for our own data."""
    if kind != TYPE or FIELD not in options:
        return
    folder = Path(str(options[FIELD]))
    if not folder.is_absolute():
        raise _wrong("must be an absolute path")
    folder, data = folder.resolve(), Path(settings.PIXERVE.data_dir).resolve()
    if folder.is_relative_to(data) or data.is_relative_to(folder):
        raise _wrong("the server's own data are there")
    if not settings.PIXERVE.local_roots:
        raise _wrong("PIXERVE_LOCAL_ROOTS lists no folder, so there is none to put files into")
    if not _is_allowed(folder):
        raise _wrong("is not below a folder of PIXERVE_LOCAL_ROOTS")


def folders() -> list[Path]:
    """Where credentials lead to, as far as it is allowed now."""
    found = Credential.objects.filter(type=TYPE).values_list("options", flat=True)
    resolved = {Path(str(options[FIELD])).resolve() for options in found}
    return sorted(filter(_is_allowed, resolved))


def _is_allowed(folder: Path) -> bool:
    roots = settings.PIXERVE.local_roots
    return any(folder.is_relative_to(root.resolve()) for root in roots)


def _wrong(message: str) -> InvalidCredential:
    return InvalidCredential([{"field": f"data.{FIELD}", "message": message}])
