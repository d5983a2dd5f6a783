"""Can a server listen on this address, and if not, who does."""

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

BACKLOG = 2048  # connections that wait to be accepted; the kernel may allow fewer
TCP_LISTEN = "0A"  # the state column of /proc/net/tcp, see proc(5)


def port_problem(host: str, port: int) -> str | None:
    """Why a server could not listen on this TCP address, in one line; None when it could."""
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except socket.gaierror as error:
        return f"host {host} is not an address of this machine: {error.strerror}"
    except PermissionError:
        return f"port {port} on {host} needs privileges that this user does not have"
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return f"cannot listen on port {port} of {host}: {error.strerror}"
        return f"port {port} on {host} is in use by {_holder(port) or 'another process'}"
    return None


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, not inherited unless asked for. Raises OSError."""
    if ":" not in host:
        return socket.create_server((host, port), backlog=BACKLOG)
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6
    return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)


def refuse(listener: socket.socket) -> None:
    """Refuse new connections from now on, whichever processes hold this socket, too.

    Closing it would not: as long as one of them has it open, the kernel takes connections that
    nobody will accept, and resets them at the end. Refused at once, a client goes to another host.
    """
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def _holder(port: int) -> str | None:
    """The process that listens on a port, as "name (pid 123)", when /proc lets us see it."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended, or is another user's
            if any(str(link.readlink()) in sockets for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for row in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, _, _, _, _, _, inode, *_ = row.split()
            if state == TCP_LISTEN and local.endswith(f":{port:04X}"):
                yield inode
