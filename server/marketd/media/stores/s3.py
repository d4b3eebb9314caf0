"""A Store in a bucket of an S3 service (the extra `s3`: obstore), which sees to it that what is put is whole or absent.

A name is created once by If-None-Match, which the start tries out, for not every service that speaks S3 honours it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import uuid4
from weakref import WeakValueDictionary

import obstore
import structlog
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore import OffsetRange

from marketd.media.store import (
    PIECE_BYTES,
    StoredFile,
    StoredFileMissing,
    StoreUnavailable,
    StoreUnfit,
    checked,
)

_log = structlog.get_logger(__name__)

_CONNECT: Final = timedelta(seconds=2)
_ONE_REQUEST: Final = timedelta(seconds=20)
_STALLED: Final = timedelta(seconds=10)
# A caller waits: two more tries bridge a lost connection, and an outage is said soon.
_RETRIES: Final = 2
_RETRY_FOR: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(seconds=1)
# Of a name that is said to exist and is not there, because somebody deleted it in between.
_TRIES: Final = 3
_LISTED_AT_ONCE: Final = 1_000
_STATUS: Final = re.compile(r"status code: (\d{3})")
_FOREVER: Final = "public, max-age=31536000, immutable"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"(?:/[0-9A-Za-z_][0-9A-Za-z_.-]*)*/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where files go. What is None comes from the usual AWS variables, or from the machine's role."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    key_id: str | None = None
    key: str | None = None
    allow_http: bool = False

    def __repr__(self) -> str:
        return f"Bucket({self.name!r}, {self.prefix!r})"  # keys end in no log


def parse_url(url: str) -> tuple[str, str]:
    """The bucket and the prefix of `s3://bucket/prefix`. Raises StoreUnfit."""
    parts = urlsplit(url)
    if (
        parts.scheme != "s3"
        or _BUCKET.fullmatch(parts.netloc) is None
        or _PREFIX.fullmatch(parts.path) is None
        or parts.query
        or parts.fragment
    ):
        raise StoreUnfit("MARKETD_MEDIA_BUCKET_URL must be s3://bucket or s3://bucket/folder.")
    return parts.netloc, parts.path.strip("/")


class BucketStore:
    """Files as objects of the bucket, their names behind the prefix."""

    def __init__(self, bucket: Bucket) -> None:
        # A thread of obstore's that lets go of an answer while the interpreter ends aborts the process.
        atexit.register(time.sleep, 0.05)
        self._bucket = bucket
        # Services keep those who put one name at once waiting for each other, some for seconds.
        self._putting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        given = {
            "endpoint": bucket.endpoint,
            "region": bucket.region,
            "access_key_id": bucket.key_id,
            "secret_access_key": bucket.key,
        }
        self._objects = S3Store(
            bucket.name,
            prefix=bucket.prefix or None,
            config={name: value for name, value in given.items() if value is not None},  # type: ignore[arg-type]
            client_options={
                "allow_http": bucket.allow_http,
                "connect_timeout": _CONNECT,
                "timeout": _ONE_REQUEST,
                "read_timeout": _STALLED,
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": _RETRY_FOR,
                "backoff": {"max_backoff": _LONGEST_PAUSE},
            },
        )

    async def check(self) -> None:
        """Whether objects can be made once, and deleted. Raises StoreUnfit unless the service is just away."""
        name = f"check/{uuid4().hex}"
        where = f"the bucket {self._bucket.name} of MARKETD_MEDIA_BUCKET_URL"
        try:
            await obstore.put_async(self._objects, name, b"1", mode="create")
            try:
                await obstore.put_async(self._objects, name, b"2", mode="create")
            except AlreadyExistsError:
                pass
            else:
                raise StoreUnfit(f"The S3 service of {where} ignores If-None-Match; use one that honours it.")
            finally:
                await self._objects.delete_async(name)
        except (PermissionDeniedError, UnauthenticatedError):
            raise StoreUnfit(
                f"Nobody is let into {where} with these keys; set MARKETD_MEDIA_BUCKET_KEY_ID and "
                "MARKETD_MEDIA_BUCKET_KEY (or the AWS variables) to those of an account that may read, write and "
                "delete there."
            ) from None
        except FileNotFoundError:
            raise StoreUnfit(f"There is no such bucket as {where}; make it.") from None
        except BaseError as error:
            if "builder error" in str(error):
                raise StoreUnfit(
                    f"The endpoint of {where} is no address for it; use https://, or outside production http://."
                ) from None
            _log.error("media_store_away", store="bucket", status=_status(error), error=type(error).__name__)

    async def put(self, name: str, content: bytes | Path, media_type: str) -> None:
        """Keep it, in one request: many requests for one object could not be told to overwrite nothing."""
        attributes = {"Content-Type": media_type, "Cache-Control": _FOREVER}
        lock = self._putting.setdefault(checked(name), asyncio.Lock())
        with self._told("put"):
            async with lock:
                await self._put_once(name, content, attributes)

    async def _put_once(self, name: str, content: bytes | Path, attributes: dict[str, str]) -> None:
        for _ in range(_TRIES):
            try:
                await obstore.put_async(
                    self._objects, name, content, mode="create", attributes=attributes, use_multipart=False
                )
            except AlreadyExistsError:
                with contextlib.suppress(FileNotFoundError):
                    await self._objects.head_async(name)
                    return
            else:
                return
        raise StoreUnavailable

    async def read(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """The bytes, as the service sends them."""
        checked(name)
        if length == 0:
            await self.size(name)
            return
        part: tuple[int, int] | OffsetRange | None = None
        if length is not None:
            part = (offset, offset + length)
        elif offset:
            part = {"offset": offset}
        with self._told("read"):
            try:
                found = await self._objects.get_async(name, options={"range": part} if part else None)
            except FileNotFoundError:
                raise StoredFileMissing(name) from None
            except BaseError:
                # A range that begins past the end is an error there, and looks like any other.
                if part is None or offset < await self.size(name):
                    raise
                return
            pieces = found.stream(min_chunk_size=PIECE_BYTES).__aiter__()
        while True:
            with self._told("read"):
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            for start in range(0, len(piece), PIECE_BYTES):
                yield bytes(piece[start : start + PIECE_BYTES])

    async def size(self, name: str) -> int:
        """The object's bytes."""
        with self._told("size"):
            try:
                return (await self._objects.head_async(checked(name)))["size"]
            except FileNotFoundError:
                raise StoredFileMissing(name) from None

    async def delete(self, name: str) -> None:
        """Remove the object."""
        with self._told("delete"), contextlib.suppress(FileNotFoundError):
            await self._objects.delete_async(checked(name))

    async def files(self, prefix: str = "") -> AsyncIterator[StoredFile]:
        """Every object behind the prefix whose name this store could have given."""
        with self._told("list"):
            batches = self._objects.list(checked(prefix) if prefix else None, chunk_size=_LISTED_AT_ONCE).__aiter__()
        while True:
            with self._told("list"):
                try:
                    batch = await anext(batches)
                except StopAsyncIteration:
                    return
            for each in batch:
                with contextlib.suppress(ValueError):
                    yield StoredFile(checked(each["path"]), each["size"], each["last_modified"])

    @contextlib.contextmanager
    def _told(self, operation: str) -> Iterator[None]:
        """What goes wrong below is the operator's to know, and for the caller a reason to come again.

        Only the kind and the status are logged: services quote the key's id and what was signed in their answers.
        """
        try:
            yield
        except (BaseError, OSError) as error:
            _log.error(
                "media_store_failed",
                store="bucket",
                operation=operation,
                status=_status(error),
                error=type(error).__name__,
            )
            raise StoreUnavailable from None


def _status(error: Exception) -> str:
    found = _STATUS.search(str(error))
    return found[1] if found else ""
