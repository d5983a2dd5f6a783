"""What the stores of buckets share, whoever's library talks to them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Generic, Protocol, TypeVar

from delivery.backends.base import HttpUrl, OpenStore, Segments, check_expiry, object_name, public
from delivery.backends.wire import Wire
from delivery.errors import DeliveryError


class BucketOptions(Protocol):
    """The options that both kinds have."""

    @property
    def prefix(self) -> Segments | None: ...

    @property
    def public_url(self) -> HttpUrl | None: ...


B = TypeVar("B", bound=BucketOptions)


class BucketStore(OpenStore, ABC, Generic[B]):
    """One bucket, in one thread."""

    #: What the library raises.
    errors: ClassVar[tuple[type[Exception], ...]]

    def __init__(self, options: B, wire: Wire) -> None:
        self._options = options
        self._wire = wire

    def url(self, key: str, *, expires_s: int | None) -> str | None:
        """Signing needs no network; without signature it is the object's place."""
        name = self._name(key)
        if expires_s is None:
            return public(self._options.public_url, key) or self._lasting_url(name)
        check_expiry(expires_s)
        return self._signed_url(name, expires_s)

    def _name(self, key: str) -> str:
        return object_name(self._options.prefix, key)

    @contextmanager
    def _asking(self, size: int = 0) -> Iterator[None]:
        """One operation of at most ``size`` bytes, its errors in our words."""
        try:
            with self._wire.within(size):
                yield
        except self.errors as error:
            raise self._in_words(error) from None

    @abstractmethod
    def _in_words(self, error: Exception) -> DeliveryError: ...

    @abstractmethod
    def _lasting_url(self, name: str) -> str: ...

    @abstractmethod
    def _signed_url(self, name: str, expires_s: int) -> str: ...
