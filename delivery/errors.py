"""Everything that can go wrong while bytes leave the house.

    DeliveryError(code, message, permanent)
    ├── UrlRefused       the URL itself is not acceptable               permanent
    ├── HeadersRefused   a caller-supplied header is not acceptable     permanent
    ├── AddressRefused   the name leads to an address we do not call    permanent
    ├── PortRefused      we do not call this port of public hosts       permanent
    ├── DnsFailed        the name could not be resolved
    ├── ConnectFailed    no resolved address took the connection
    ├── TlsFailed        handshake or certificate check failed
    ├── TimedOut         the total time was used up
    ├── BadAnswer        the peer did not answer in proper HTTP
    ├── PathRefused      a hosted path would leave its root             permanent
    ├── NotHosted        nothing is hosted at that path                 permanent
    └── HostingFailed    the file system did not take the file

``code`` is stable and for programs, ``message`` is for people. Neither ever holds a
header value, a URL's query or a file system path of this machine.
"""


class DeliveryError(Exception):
    """A delivery did not happen; ``permanent`` says that trying again cannot help."""

    def __init__(self, code: str, message: str, permanent: bool = False) -> None:
        # Of what a store says, only what a log, a page and a database take as one line.
        message = "".join(sign if sign.isprintable() else " " for sign in message)
        super().__init__(code, message, permanent)
        self.code = code
        self.message = message
        self.permanent = permanent

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class UrlRefused(DeliveryError):
    """The URL is malformed, of the wrong kind, or names a forbidden address."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, permanent=True)


class HeadersRefused(DeliveryError):
    """Caller-supplied headers break a rule; the message names the header, never its value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, permanent=True)


class AddressRefused(DeliveryError):
    """An address is private, reserved or otherwise not a public unicast address."""

    def __init__(self, message: str) -> None:
        super().__init__("address_refused", message, permanent=True)


class PortRefused(DeliveryError):
    """The port is not one that may be called at a public address."""

    def __init__(self, port: int) -> None:
        super().__init__("url_port", f"port {port} is not allowed", permanent=True)


class DnsFailed(DeliveryError):
    """The host name has no address, or the resolver did not answer."""

    def __init__(self, message: str) -> None:
        super().__init__("dns_failed", message)


class ConnectFailed(DeliveryError):
    """Every resolved address refused or dropped the connection."""

    def __init__(self, message: str) -> None:
        super().__init__("connect_failed", message)


class TlsFailed(DeliveryError):
    """The TLS handshake failed, or the certificate is not valid for the host name."""

    def __init__(self, message: str) -> None:
        super().__init__("tls_failed", message)


class TimedOut(DeliveryError):
    """The whole exchange did not end in its time."""

    def __init__(self, message: str) -> None:
        super().__init__("timeout", message)


class BadAnswer(DeliveryError):
    """The peer hung up early or sent something that is not an HTTP answer."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_answer", message)


class PathRefused(DeliveryError):
    """A hosted path is not a plain relative path below its root."""

    def __init__(self, message: str) -> None:
        super().__init__("path_refused", message, permanent=True)


class NotHosted(DeliveryError):
    """No regular file is hosted at the path."""

    def __init__(self) -> None:
        super().__init__("not_hosted", "nothing is hosted at this path", permanent=True)


class HostingFailed(DeliveryError):
    """Writing below the hosted root failed: disk full, no permission and the like."""

    def __init__(self, message: str) -> None:
        super().__init__("hosting_failed", message)
