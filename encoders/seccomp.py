"""System calls that a converter never needs, taken away for good (seccomp-bpf, x86-64 and arm64).

A decoder that was taken over by a picture can then still compute, read and write what it has
open; it can start no program, reach no network and touch no other process. The numbers are those
of the kernel's ``syscall_64.tbl`` (x86-64) and ``asm-generic/unistd.h`` (arm64), the filter's
layout is that of ``linux/seccomp.h`` and ``linux/bpf_common.h``.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple


class _Machine(NamedTuple):
    """What the filter needs to know of a processor: AUDIT_ARCH and its column of ``_DENIED``."""

    arch: int
    column: int


_MACHINES = {"x86_64": _Machine(0xC000003E, 0), "aarch64": _Machine(0xC00000B7, 1)}

_DENIED: dict[str, tuple[int | None, int | None]] = {
    # files by their path, which Landlock does not guard before Linux 6.2
    "truncate": (76, 45),
    # programs and processes
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "unshare": (272, 97),
    "setns": (308, 268),
    # the network
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "connect": (42, 203),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # ways round a filter, and the kernel's inner parts
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    # the file system's shape, and whose a file is: Landlock does not look at these
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "open_by_handle_at": (304, 265),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
}
"""Name -> number on x86-64 and on arm64; None where the machine has no such call."""

_OWN_PROCESS_ONLY = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
"""Allowed when the first argument is this process; ``abort`` and limits need them."""
_CLONE, _CLONE3 = (56, 220), (435, 435)
_CLONE_THREAD = 0x10000
_X32_BIT = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL, _FAIL_WITH = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE = _FAIL_WITH | errno.EPERM

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_PR_GET_SECCOMP = 21


def is_known() -> bool:
    """Whether the kernel has seccomp, on a processor that the filter is written for."""
    libc = ctypes.CDLL(None, use_errno=True)
    return platform.machine() in _MACHINES and libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def deny_calls() -> bool:
    """Take the calls away from all threads of this process; False where that cannot be done.

    Needs PR_SET_NO_NEW_PRIVS. A denied call fails with EPERM.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    program = _program(_MACHINES[machine], os.getpid())
    code = ctypes.create_string_buffer(program, len(program))
    loaded = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    return bool(libc.syscall(_SECCOMP[machine], _SET_MODE_FILTER, _ALL_THREADS, loaded) == 0)


def _program(machine: _Machine, pid: int) -> bytes:
    """The filter: a chain of "is it this number? then refuse", allowed at its end."""
    steps = [
        _step(_LOAD, _ARCH_AT),
        _step(_EQUAL, machine.arch, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    if not machine.column:
        steps += [_step(_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, _REFUSE)]
    for numbers in _DENIED.values():
        number = numbers[machine.column]
        if number is not None:
            steps += _when(number, [_step(_RETURN, _REFUSE)])
    # Its flags are out of a filter's reach; without it the C library falls back to clone.
    steps += _when(_CLONE3[machine.column], [_step(_RETURN, _FAIL_WITH | errno.ENOSYS)])
    steps += _when(_CLONE[machine.column], _unless(_ANY_BIT, _CLONE_THREAD))
    for numbers in _OWN_PROCESS_ONLY.values():
        steps += _when(numbers[machine.column], _unless(_EQUAL, pid, 0))
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def _when(number: int, then: list[bytes]) -> list[bytes]:
    return [_step(_EQUAL, number, 0, len(then)), *then]


def _unless(test: int, *allowed: int) -> list[bytes]:
    """Refuse unless the first argument passes ``test`` with one of the values."""
    left = range(len(allowed), 0, -1)
    tests = [_step(test, value, rest, 0) for value, rest in zip(allowed, left, strict=True)]
    return [
        _step(_LOAD, _FIRST_ARGUMENT_AT),
        *tests,
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction (struct sock_filter); jumps count the instructions to pass over."""
    return struct.pack("HBBI", code, if_true, if_false, value)
