"""A bucket of Google's, through django-storages; loaded when the first one is opened.

Every option is given: nothing falls back to Django's settings or to application default
credentials.
"""

import base64
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c
import requests
from google.api_core.exceptions import GoogleAPICallError, NotFound, RequestRangeNotSatisfiable
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.oauth2.service_account import Credentials
from requests.adapters import HTTPAdapter
from storages.backends.gcloud import GoogleCloudStorage
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from delivery.backends.base import Stored, check_source, digest
from delivery.backends.bucket import BucketStore
from delivery.backends.errors import (
    AuthFailed,
    BadOptions,
    ChecksumMismatch,
    ClockSkew,
    NoObject,
    StoreUnavailable,
)
from delivery.backends.gcs import GcsOptions, account, meaning
from delivery.backends.probe import round_trip
from delivery.backends.trouble import causes, network_trouble
from delivery.backends.wire import Wire, authorities, pool_classes
from delivery.errors import DeliveryError

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_BLOCK = 1 << 20


class GcsStore(BucketStore[GcsOptions]):
    """One bucket, in one thread."""

    errors = (
        DataCorruption,
        GoogleAPICallError,
        GoogleAuthError,
        InvalidResponse,
        requests.RequestException,
        HTTPError,
        OSError,
    )

    def __init__(self, options: GcsOptions, wire: Wire) -> None:
        super().__init__(options, wire)
        self._client = _client(options, wire)
        self._storage = _Storage(**_settings(options))
        self._storage._client = self._client

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        """Above 8 MiB Google's library uploads in pieces.

        What is left of such an upload that broke off is in no listing, costs nothing and ends
        within a week.
        """
        blob = self._blob(key)
        blob.cache_control = self._options.cache_control or cache_control
        found, crc32c = digest(source), _crc32c(source)
        check_source(found.sha256, sha256)
        try:
            with self._asking(found.size), source.open("rb") as file:
                self._storage.put(blob, file, found.size, media_type, self._options.timeout_s)
                _confirm(blob, found.size, crc32c)
        except ChecksumMismatch:
            with suppress(DeliveryError):
                self.delete(key)
            raise
        hexadecimal = base64.b64decode(crc32c).hex()
        return Stored(found.size, f"crc32c:{hexadecimal}", self.url(key, expires_s=None))

    def read(self, key: str, limit: int) -> bytes:
        with self._asking(limit):
            try:
                content: bytes = self._blob(key).download_as_bytes(
                    start=0, end=limit - 1, raw_download=True, **self._once()
                )
            except RequestRangeNotSatisfiable:
                return b""  # an empty object has no first byte
            except NotFound:
                raise NoObject from None
        return content[:limit]

    def delete(self, key: str) -> None:
        with self._asking(), suppress(NotFound):
            self._blob(key).delete(**self._once())

    def exists(self, key: str) -> bool:
        with self._asking():
            return bool(self._blob(key).exists(**self._once()))

    def probe(self) -> None:
        round_trip(self)

    def close(self) -> None:
        self._client.close()
        self._wire.close()

    def _blob(self, key: str) -> Any:
        return self._storage.bucket.blob(self._name(key))

    def _lasting_url(self, name: str) -> str:
        return f"{self._options.base}/{self._options.bucket}/{quote(name)}"

    def _signed_url(self, name: str, expires_s: int) -> str:
        signed: str = self._storage.bucket.blob(name).generate_signed_url(
            version="v4",
            expiration=timedelta(seconds=expires_s),
            api_access_endpoint=self._options.base,
        )
        return signed

    def _once(self) -> dict[str, Any]:
        return {"retry": None, "timeout": self._options.timeout_s}

    def _in_words(self, error: Exception) -> DeliveryError:
        if isinstance(error, DataCorruption):
            return ChecksumMismatch("the store received other bytes than it was sent")
        for each in causes(error):
            if isinstance(each, GoogleAPICallError) and each.code is not None:
                return meaning(int(each.code), each.message or "", self._options)
            if isinstance(each, InvalidResponse):
                return meaning(each.response.status_code, "", self._options)
            if isinstance(each, RefreshError):
                return _of_token(each)
        return network_trouble(error, self._wire, self._options.host)


def _of_token(error: RefreshError) -> DeliveryError:
    """Google's token service refused the signed assertion, or gave no answer."""
    if error.retryable:
        return StoreUnavailable("the token service has trouble of its own")
    # https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
    if "reasonable timeframe" in str(error):
        return ClockSkew("the token service refuses our clock; set it (NTP)")
    return AuthFailed("the token service refuses service_account: is its key still active?")


def _confirm(blob: Any, size: int, crc32c: str) -> None:
    """What the store said of the object that it has just made."""
    if blob.size != size or blob.crc32c != crc32c:
        raise ChecksumMismatch(f"the store reports {blob.size} bytes, crc32c {blob.crc32c}")


def _crc32c(source: Path) -> str:
    """In Google's form: base64 of the big-endian number."""
    checksum = google_crc32c.Checksum()
    with source.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()


class _Storage(GoogleCloudStorage):
    """django-storages' own, without its way to settings and without a look before each upload."""

    def get_default_settings(self) -> dict[str, Any]:
        return dict(_NOTHING_SET)

    def put(self, blob: Any, file: Any, size: int, media_type: str, timeout_s: float) -> None:
        """As ``save``, once."""
        blob.upload_from_file(
            file,
            size=size,
            content_type=media_type,
            predefined_acl=self.default_acl,
            checksum="crc32c",
            retry=None,
            timeout=timeout_s,
        )


# What GoogleCloudStorage knows, each at what it means when it is not set.
_NOTHING_SET: dict[str, Any] = {
    "project_id": None,
    "credentials": None,
    "bucket_name": None,
    "custom_endpoint": None,
    "location": "",
    "default_acl": None,
    "querystring_auth": True,
    "expiration": timedelta(days=1),
    "gzip": False,
    "gzip_content_types": (),
    "file_overwrite": True,
    "object_parameters": {},
    "max_memory_size": 0,
    "blob_chunk_size": None,
    "iam_sign_blob": False,
    "sa_email": None,
}


def _settings(options: GcsOptions) -> dict[str, Any]:
    return _NOTHING_SET | {"bucket_name": options.bucket, "default_acl": options.acl}


def _client(options: GcsOptions, wire: Wire) -> Client:
    info = account(options.service_account)
    try:
        credentials = Credentials.from_service_account_info(info, scopes=[_SCOPE])
    except (ValueError, GoogleAuthError):
        raise BadOptions("service_account has a private_key that cannot be read") from None
    tokens = _wired(requests.Session(), wire)
    http = _wired(AuthorizedSession(credentials, auth_request=Request(tokens)), wire)
    return Client(
        project=str(info.get("project_id", "none")),
        credentials=credentials,
        _http=http,
        client_options={"api_endpoint": options.base},
    )


def _wired(session: requests.Session, wire: Wire) -> Any:
    """No proxy variable, no netrc; connections by the wire; no tries but the first."""
    session.trust_env = False
    session.verify = authorities() or True
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=4, max_retries=0)
    adapter.poolmanager.pool_classes_by_scheme = pool_classes(
        wire, HTTPConnectionPool, HTTPSConnectionPool
    )
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
