"""An SSH connection by Paramiko: to the pinned host key only, with a limit on every wait."""

import io
import logging
import socket

import paramiko

from delivery.backends.errors import AuthFailed, BadHostKey, BadOptions
from delivery.backends.sftp import SftpOptions, fingerprint, fingerprint_of, key_type
from delivery.backends.wire import Wire

# What goes wrong is raised; its own log would show stack traces for each refused connection.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_KEEPALIVE_S = 15
_KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
# An "ssh-rsa" key is offered under the names of its better signatures.
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
# Paramiko says so with the error of a refusal; its timeout goes by the clock on the wall, too.
_NO_ANSWER = ("timeout", "transport shut down")


class Connection:
    """One SSH connection and its SFTP channel; ``close`` ends both."""

    def __init__(self, options: SftpOptions, wire: Wire) -> None:
        self._wire = wire
        key = _private_key(options)
        sock = wire.connect(options.host, options.port)
        self._handle = wire.watch(sock)
        self._transport: paramiko.Transport | None = None
        try:
            self._transport = _talk(sock, options)
            _log_in(self._transport, options, key)
            self.sftp = _channel(self._transport, options.timeout_s)
        except BaseException:
            sock.close()
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._handle is not None:
            self._wire.forget(self._handle)


def _private_key(options: SftpOptions) -> paramiko.PKey | None:
    if options.private_key is None:
        return None
    text = options.private_key.get_secret_value().strip() + "\n"
    secret = options.passphrase.get_secret_value() if options.passphrase else None
    for kind in _KEYS:
        try:
            return kind.from_private_key(io.StringIO(text), secret)
        except paramiko.PasswordRequiredException:
            raise BadOptions("the private key needs its passphrase") from None
        except (paramiko.SSHException, ValueError, TypeError, IndexError):
            continue
    raise BadOptions(
        "private_key is not readable; wrong passphrase, or neither Ed25519, ECDSA nor RSA"
    )


def _talk(sock: socket.socket, options: SftpOptions) -> paramiko.Transport:
    """A connection to the server whose key was pinned; nothing secret was sent to it yet."""
    transport = paramiko.Transport(sock)
    transport.banner_timeout = transport.auth_timeout = options.timeout_s
    transport.handshake_timeout = transport.channel_timeout = options.timeout_s
    wanted = key_type(options.host_key)
    if wanted is not None:
        transport.get_security_options().key_types = _RSA if wanted == "ssh-rsa" else (wanted,)
    try:
        transport.start_client(timeout=options.timeout_s)
    except paramiko.ssh_exception.IncompatiblePeer as error:
        transport.close()
        if "host key" in str(error):
            raise BadHostKey(f"{options.host} has no {wanted} key, as host_key asks for") from None
        raise BadOptions(f"{options.host} shares no method of ours: {error}") from None
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(_KEEPALIVE_S)
    _check(transport, options)
    return transport


def _check(transport: paramiko.Transport, options: SftpOptions) -> None:
    shown = fingerprint(transport.get_remote_server_key().asbytes())
    if shown != fingerprint_of(options.host_key):
        transport.close()
        raise BadHostKey(
            f"{options.host} shows the key {shown}, another one than host_key; if the server was "
            "renewed, compare with ssh-keyscan and change host_key"
        )


def _log_in(transport: paramiko.Transport, options: SftpOptions, key: paramiko.PKey | None) -> None:
    try:
        if key is not None:
            transport.auth_publickey(options.user, key)
        if not transport.is_authenticated() and options.password is not None:
            transport.auth_password(options.user, options.password.get_secret_value())
    except paramiko.BadAuthenticationType as error:
        raise AuthFailed(
            f"{options.host} takes {', '.join(error.allowed_types)} from this user alone"
        ) from None
    except paramiko.AuthenticationException as error:
        if any(sign in str(error) for sign in _NO_ANSWER):
            raise paramiko.SSHException(str(error)) from None
        raise AuthFailed(
            f"{options.host} refuses {options.user!r}; check user, password and private_key"
        ) from None
    if not transport.is_authenticated():
        raise AuthFailed(f"{options.host} wants more than one proof; give password and private_key")


def _channel(transport: paramiko.Transport, timeout_s: float) -> paramiko.SFTPClient:
    sftp = paramiko.SFTPClient.from_transport(transport)
    if sftp is None:
        raise BadOptions("the server opens no session")
    channel = sftp.get_channel()
    if channel is not None:
        channel.settimeout(timeout_s)
    return sftp
