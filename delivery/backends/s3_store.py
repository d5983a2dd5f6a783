"""A bucket, through django-storages and boto3; loaded when the first one is opened.

Every option is given: nothing falls back to Django's settings, the environment or ~/.aws.
"""

import base64
import hashlib
import os
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import boto3.session
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from delivery.backends.base import Digests, Stored, check_source, digest
from delivery.backends.bucket import BucketStore
from delivery.backends.errors import (
    ChecksumMismatch,
    NoBucket,
    NoObject,
    Overtaken,
    StoreUnavailable,
)
from delivery.backends.probe import round_trip
from delivery.backends.s3 import S3Options, meaning
from delivery.backends.trouble import causes, network_trouble
from delivery.backends.wire import Wire, authorities, pool_classes
from delivery.errors import DeliveryError

MULTIPART_ABOVE = 16 << 20
PART_SIZE = 8 << 20
SHA256_NAME = "sha256"
"""Each object says the SHA-256 of its bytes in hex, as x-amz-meta-sha256."""
_BLOCK = 1 << 18


class S3Store(BucketStore[S3Options]):
    """One bucket, in one thread."""

    errors = (BotoCoreError, Boto3Error, ClientError, HTTPError, OSError)

    def __init__(self, options: S3Options, wire: Wire) -> None:
        super().__init__(options, wire)
        self._storage = _Storage(**_settings(options))
        self._client = self._storage.connection.meta.client
        # django-storages and boto3's transfers keep the store's answers to themselves.
        self._answer: dict[str, Any] = {}
        for operation in ("PutObject", "CompleteMultipartUpload"):
            self._client.meta.events.register(f"after-call.s3.{operation}", self._hear)
        # botocore has no public way to bring one's own connections; tests hold this one.
        self._http = self._client._endpoint.http_session
        self._http._manager.pool_classes_by_scheme = pool_classes(
            wire, AWSHTTPConnectionPool, AWSHTTPSConnectionPool
        )

    def put(
        self, key: str, source: Path, *, media_type: str, cache_control: str | None, sha256: str
    ) -> Stored:
        name = self._name(key)
        found = digest(source, _part_size(source))
        check_source(found.sha256, sha256)
        try:
            with self._asking(2 * found.size):
                self._upload(name, source, found, media_type, cache_control)
                checksum = self._confirm(name, found)
        except ChecksumMismatch:
            # Wrong bytes under a right name are worse than none.
            with suppress(DeliveryError):
                self.delete(key)
            raise
        except DeliveryError as error:
            if not isinstance(error, Overtaken):
                with suppress(DeliveryError):
                    self.clean(key, found.size)
            raise
        return Stored(found.size, checksum, self.url(key, expires_s=None))

    def clean(self, key: str, size: int) -> None:
        """No part of an unfinished upload of this object stays, paid for and in no listing.

        What is sent in one request is stored whole or not at all.
        """
        if size <= MULTIPART_ABOVE:
            return
        name, target = self._name(key), {"Bucket": self._options.bucket}
        with self._asking():
            answer = self._client.list_multipart_uploads(**target, Prefix=name)
            for each in answer.get("Uploads", ()):
                if each["Key"] == name:
                    self._client.abort_multipart_upload(
                        **target, Key=name, UploadId=each["UploadId"]
                    )

    def read(self, key: str, limit: int) -> bytes:
        name = self._name(key)
        with self._asking(limit):
            answer = self._get(name)
            with closing(answer["Body"]) as body:
                content: bytes = body.read(limit)
        if len(content) < min(limit, answer["ContentLength"]):
            raise StoreUnavailable(f"{self._options.host}: the answer was cut off")
        return content

    def delete(self, key: str) -> None:
        with self._asking():
            self._storage.delete(self._name(key))

    def exists(self, key: str) -> bool:
        with self._asking():
            return bool(self._storage.exists(self._name(key)))

    def probe(self) -> None:
        round_trip(self)

    def close(self) -> None:
        self._http.close()
        self._wire.close()

    def _lasting_url(self, name: str) -> str:
        return self._signed_url(name, 1).partition("?")[0]

    def _signed_url(self, name: str, expires_s: int) -> str:
        return str(self._storage.url(name, expire=expires_s))

    def _upload(
        self, name: str, source: Path, found: Digests, media_type: str, cache_control: str | None
    ) -> None:
        self._storage.object_parameters = _parameters(
            self._options, found, media_type, cache_control
        )
        self._answer = {}
        with source.open("rb") as file:
            self._storage.put(name, file)

    def _hear(self, parsed: dict[str, Any], **_: object) -> None:
        self._answer = parsed

    def _confirm(self, name: str, found: Digests) -> str:
        """The checksum that the store reports: in its answer to the upload, else when it is asked.
        A store that reports none which we know is read back."""
        if checksum := _reported(self._answer, found):
            return checksum
        asked = {"ChecksumMode": "ENABLED"} if self._options.sends_sha256 else {}
        head = self._client.head_object(Bucket=self._options.bucket, Key=name, **asked)
        if head["ContentLength"] != found.size:
            raise ChecksumMismatch(f"the store has {head['ContentLength']} bytes of {found.size}")
        if checksum := _reported(head, found):
            return checksum
        self._read_back(name, found)
        return f"sha256:{found.sha256}"

    def _read_back(self, name: str, found: Digests) -> None:
        sha256 = hashlib.sha256()
        with closing(self._get(name)["Body"]) as body:
            for block in body.iter_chunks(_BLOCK):
                sha256.update(block)
        if sha256.hexdigest() != found.sha256:
            raise ChecksumMismatch("the store gives other bytes than it was sent")

    def _get(self, name: str) -> Any:
        return self._client.get_object(Bucket=self._options.bucket, Key=name)

    def _in_words(self, error: Exception) -> DeliveryError:
        for each in causes(error):
            if isinstance(each, ClientError):
                return self._of_answer(each)
        return network_trouble(error, self._wire, self._options.host)

    def _of_answer(self, error: ClientError) -> DeliveryError:
        told = error.response.get("Error", {})
        answer = error.response.get("ResponseMetadata", {})
        wait = answer.get("HTTPHeaders", {}).get("retry-after", "")
        seconds = float(wait) if wait.isascii() and wait.isdigit() else None
        status = int(answer.get("HTTPStatusCode", 0))
        if told.get("Code") == "NoSuchUpload":
            return Overtaken(self._options.host)
        found = meaning(str(told.get("Code", status)), status, seconds, self._options)
        if isinstance(found, NoObject) and error.operation_name not in _OF_OBJECTS:
            return NoBucket(f"{self._options.host} says {status}; check bucket and endpoint")
        return found


_OF_OBJECTS = {"GetObject", "HeadObject", "DeleteObject"}


def _part_size(source: Path) -> int:
    return PART_SIZE if source.stat().st_size > MULTIPART_ABOVE else 0


def _reported(answer: dict[str, Any], found: Digests) -> str:
    """The checksum in an answer of the store, if it is that of what was sent; else ""."""
    if answer.get("ChecksumSHA256") == _base64(found.sha256):
        return f"sha256:{found.sha256}"
    if answer.get("ETag", "").strip('"') == (found.etag() if found.parts else found.md5):
        return f"md5:{found.md5}"
    return ""


def _base64(digest: str) -> str:
    """Of a digest in hex, as the protocol writes it."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def _parameters(
    options: S3Options, found: Digests, media_type: str, cache_control: str | None
) -> dict[str, Any]:
    """Of one object, by boto3's names; those without a value are left out."""
    in_one = options.sends_sha256 and not found.parts
    wanted = {
        "ContentType": media_type,
        "CacheControl": options.cache_control or cache_control,
        "Metadata": {SHA256_NAME: found.sha256},
        "StorageClass": options.storage_class,
        "ServerSideEncryption": options.sse,
        "SSEKMSKeyId": options.sse_kms_key_id,
        "ACL": options.acl,
        "ChecksumSHA256": _base64(found.sha256) if in_one else None,
    }
    return {name: value for name, value in wanted.items() if value}


class _Storage(S3Storage):
    """django-storages' own, without its way to settings and environment."""

    def get_default_settings(self) -> dict[str, Any]:
        return dict(_NOTHING_SET)

    def put(self, name: str, file: Any) -> None:
        """As ``save``, to exactly this name."""
        self._save(name, file)

    def _create_session(self) -> "_Access":
        return _Access(self.access_key, self.secret_key, self.security_token)


# What S3Storage knows, each at what it means when it is not set; test_s3_options holds it complete.
_NOTHING_SET: dict[str, Any] = {
    "access_key": None,
    "secret_key": None,
    "security_token": None,
    "session_profile": None,
    "file_overwrite": True,
    "object_parameters": {},
    "bucket_name": None,
    "querystring_auth": True,
    "querystring_expire": 3600,
    "signature_version": None,
    "location": "",
    "custom_domain": None,
    "cloudfront_key_id": None,
    "cloudfront_key": None,
    "addressing_style": None,
    "file_name_charset": "utf-8",
    "gzip": False,
    "gzip_content_types": (),
    "url_protocol": "https:",
    "endpoint_url": None,
    "proxies": None,
    "region_name": None,
    "use_ssl": True,
    "verify": None,
    "max_memory_size": 0,
    "default_acl": None,
    "use_threads": True,
    "transfer_config": None,
    "client_config": None,
}


def _settings(options: S3Options) -> dict[str, Any]:
    token = options.session_token
    return _NOTHING_SET | {
        "access_key": options.access_key_id,
        "secret_key": options.secret_access_key.get_secret_value(),
        "security_token": token.get_secret_value() if token else None,
        "bucket_name": options.bucket,
        "endpoint_url": options.endpoint,
        "region_name": options.region,
        "verify": authorities(),
        "client_config": _config(options),
        "transfer_config": TransferConfig(
            multipart_threshold=MULTIPART_ABOVE + 1,
            multipart_chunksize=PART_SIZE,
            use_threads=False,
            preferred_transfer_client="classic",
        ),
        # Of S3Storage's two ways to say these, the configuration is the one that counts.
        "object_parameters": {},
    }


def _config(options: S3Options) -> Config:
    """Retries are ours; the signature covers the body, so that a store refuses changed bytes."""
    return Config(
        signature_version="s3v4",
        connect_timeout=options.timeout_s,
        read_timeout=options.timeout_s,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=1,
        proxies={},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        ignore_configured_endpoint_urls=True,
        user_agent_extra="Pixerve",
        s3={
            "addressing_style": options.style,
            "payload_signing_enabled": True,
            "us_east_1_regional_endpoint": "regional",
            "use_accelerate_endpoint": False,
            "use_arn_region": False,
        },
    )


_making = Lock()


class _Access:
    """Makes a resource with these keys, as a session of boto3 does."""

    def __init__(self, key_id: str, secret: str, token: str | None) -> None:
        self._keys = {
            "aws_access_key_id": key_id,
            "aws_secret_access_key": secret,
            "aws_session_token": token,
        }

    def resource(self, service: str, **options: Any) -> Any:
        # A session is not safe for threads, and its models cost 50 ms to load: one, in turns.
        with _making:
            return _session().resource(service, **options, **self._keys)


@cache
def _session() -> boto3.session.Session:
    """It knows no environment variable and no file of the user's."""
    variables = {
        name: (None, None, default, convert)
        for name, (_, _, default, convert) in botocore.session.Session.SESSION_VARIABLES.items()
    }
    for name in ("config_file", "credentials_file"):
        variables[name] = (None, None, os.devnull, None)
    return boto3.session.Session(botocore_session=botocore.session.Session(variables))
