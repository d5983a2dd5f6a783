"""A resolved place to deliver to: how to reach one store, secrets included."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, repr=False)
class Destination:
    """One credential, opened. Its repr shows type and key only.

    ``type`` names the backend, ``key`` the credential. ``options`` and ``secret`` together are the
    fields of the backend's ``options_model``. ``guarded`` says that a user who is no staff chose
    the hosts, so that their addresses are checked before each connection. ``version`` changes
    whenever options or secret do; opened stores may be kept as long as it stays.
    ``local_roots`` are the operator's folders that a ``local`` destination may lie in.
    """

    type: str
    key: str
    options: Mapping[str, Any]
    secret: Mapping[str, str]
    guarded: bool
    version: str
    local_roots: tuple[Path, ...] = ()

    def __repr__(self) -> str:
        return f"Destination({self.type}, {self.key!r})"
