"""Which files a process may open, for good (Landlock, Linux 5.13 and newer).

Numbers and structures are those of ``include/uapi/linux/landlock.h``.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_DIR, _MAKE_FILE, _MAKE_LINK = 1 << 7, 1 << 8, 1 << 12
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE_DIR | _REMOVE_FILE
_WRITE |= _MAKE_DIR | _MAKE_FILE | _MAKE_LINK
_OF_A_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE

_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Interface version -> all rights to files that it knows."""
_NETWORK_SINCE, _NETWORK_RIGHTS = 4, 3
_SCOPES_SINCE, _SCOPES = 6, 3
"""Abstract sockets of, and signals to, processes outside."""


def version() -> int:
    """The kernel's Landlock interface, or 0 where there is none."""
    return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def allow_only(read: Iterable[Path], write: Iterable[Path]) -> bool:
    """From now on this thread, and what it starts, opens only what lies in these folders or files.

    Paths that do not exist are passed over. Nothing may be executed, no TCP socket used and no
    process outside be signalled, as far as the kernel knows of such rules. Needs
    PR_SET_NO_NEW_PRIVS. False where the kernel has no Landlock.
    """
    known = version()
    if not known:
        return False
    handled = max(rights for since, rights in _FILE_RIGHTS.items() if since <= known)
    ruleset = _create(known, handled)
    try:
        for paths, rights in ((read, _READ), (write, _WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        return bool(_libc().syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _create(known: int, handled: int) -> int:
    words = [handled]
    if known >= _NETWORK_SINCE:
        words.append(_NETWORK_RIGHTS)
    if known >= _SCOPES_SINCE:
        words.append(_SCOPES)
    attributes = struct.pack(f"{len(words)}Q", *words)
    size = ctypes.c_size_t(len(attributes))
    ruleset = int(_libc().syscall(_CREATE_RULESET, attributes, size, 0))
    if ruleset < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset failed")
    return ruleset


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = rights if path.is_dir() else rights & _OF_A_FILE
        rule = struct.pack("=Qi", rights, opened)
        if _libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0):
            raise OSError(ctypes.get_errno(), f"landlock_add_rule failed for {path}")
    finally:
        os.close(opened)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
