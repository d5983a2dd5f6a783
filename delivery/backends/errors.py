"""What can go wrong at a store; the tree of ``delivery.errors`` goes on here.

    DeliveryError(code, message, permanent)
    ├── AccessDenied      the store knows us and refuses this             permanent
    ├── AuthFailed        the store does not know these credentials       permanent
    ├── NoBucket          the bucket or the root folder is not there      permanent
    ├── NoObject          nothing is stored under the key                 permanent
    ├── BadHostKey        an SSH server showed another key than pinned    permanent
    ├── BadOptions        the options cannot work                         permanent
    ├── ClockSkew         the clocks differ too much for signatures       permanent
    ├── TlsRefused        no TLS, or not for this host name               permanent
    ├── ChecksumMismatch  the store reports other bytes than we have
    ├── InTheWay          a file stands where a folder should be
    ├── StoreUnavailable  refused, reset, 5xx, or asked to slow down
    │   └── Overtaken     somebody else puts the same key, or has cleaned up after us
    └── StoreFull         no room, or over quota

Beside these a store raises DnsFailed, TimedOut and AddressRefused. A message names the remedy and
never holds a secret.
"""

from delivery.errors import DeliveryError


class AccessDenied(DeliveryError):
    """The credentials are good, but may not do this."""

    def __init__(self, message: str) -> None:
        super().__init__("access_denied", message, permanent=True)


class AuthFailed(DeliveryError):
    """Unknown key or user, wrong secret, wrong password, revoked account."""

    def __init__(self, message: str) -> None:
        super().__init__("auth_failed", message, permanent=True)


class NoBucket(DeliveryError):
    """There is no such bucket, or no such folder to write into."""

    def __init__(self, message: str) -> None:
        super().__init__("no_bucket", message, permanent=True)


class NoObject(DeliveryError):
    """Nothing is stored under this key."""

    def __init__(self, message: str = "nothing is stored under this key") -> None:
        super().__init__("no_object", message, permanent=True)


class BadHostKey(DeliveryError):
    """The server is not the one whose key was pinned; nothing was sent to it."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_host_key", message, permanent=True)


class BadOptions(DeliveryError):
    """The options are wrong, or the store cannot do what they ask for."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_options", message, permanent=True)


class ClockSkew(DeliveryError):
    """The store refuses our signatures because its clock and ours differ."""

    def __init__(self, message: str) -> None:
        super().__init__("clock_skew", message, permanent=True)


class TlsRefused(DeliveryError):
    """The certificate does not hold for the host name, or the port does not speak TLS."""

    def __init__(self, message: str) -> None:
        super().__init__("tls_failed", message, permanent=True)


class ChecksumMismatch(DeliveryError):
    """What the store has, or what it was sent, is not what the rendition was."""

    def __init__(self, message: str) -> None:
        super().__init__("checksum_mismatch", message)


class InTheWay(DeliveryError):
    """A file stands where a folder should be; whoever put it there may move it away."""

    def __init__(self, message: str) -> None:
        super().__init__("in_the_way", message)


class StoreUnavailable(DeliveryError):
    """Trouble on the store's side that may pass; wait ``retry_after_s`` seconds if it is given."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__("store_unavailable", message)
        self.retry_after_s = retry_after_s


class Overtaken(StoreUnavailable):
    """Somebody else puts the same key, or has cleaned up after us: nothing of ours is left."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host}: somebody else puts the same key at this moment")


class StoreFull(DeliveryError):
    """The store has no room for the bytes."""

    def __init__(self, message: str) -> None:
        super().__init__("store_full", message)
