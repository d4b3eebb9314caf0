"""Getting the bytes of a picture from an address that anybody may have given: the whole client, and nothing else.

Whether an address may be connected to is judged when the socket is made, after the name was resolved and for every
redirect anew, so a name that changes its mind between a look and a connect gains nothing. Nothing is unpacked: a server
that compresses all the same is refused, and so no small answer becomes a large one.

All of it happens in a thread beside the one that serves: an answer in chunks of one byte is tens of thousands of steps
for each read, and nobody's call may wait for them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiofiles
import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from marketd.catalog.pictures.addresses import Network, may_connect
from marketd.catalog.pictures.beside import LoopBeside
from marketd.catalog.pictures.values import FetchFailed, FetchFailure

MAX_REDIRECTS: Final = 3
DEFAULT_SECONDS: Final = 15.0
_CRUMB_BYTES: Final = 64
_CRUMBS: Final = 1_000
"""After so many chunks of an answer, they must have had as many bytes as `_CRUMB_BYTES` on average."""
_HEADERS: Final = {
    "accept": "image/avif, image/webp, image/png, image/jpeg, image/gif",
    "accept-encoding": "identity",
    "user-agent": "marketd (pictures of products)",
}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAY_PASS: Final = frozenset({408, 425, 429})


class Fetcher:
    """Fetches pictures over http and https.

    allowed: networks besides the public internet. resolver: what names are looked up with, None for the system's.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[Network] = (),
        max_bytes: int,
        seconds: float = DEFAULT_SECONDS,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = tuple(allowed)
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._resolver = resolver
        self._tls = tls
        self._beside = LoopBeside("pictures")

    def close(self) -> None:
        """End the thread; a fetch after this begins another."""
        self._beside.close()

    async def fetch(self, url: str, into: Path) -> None:
        """Write what the address answers into the file. Raises FetchFailed, and leaves then what it may have written.

        Every fetch has connections of its own: it must not find one that was opened under other terms.
        """
        await self._beside.run(self._fetch(url, into))

    async def _fetch(self, url: str, into: Path) -> None:
        guard = _Guard(self._allowed)
        connector = aiohttp.TCPConnector(
            force_close=True,
            resolver=self._resolver or aiohttp.ThreadedResolver(),
            socket_factory=guard.socket,
            ssl=True if self._tls is None else self._tls,
            use_dns_cache=False,
        )
        try:
            async with (
                asyncio.timeout(self._seconds),
                # Cookies of one redirect are not told to the next, and no proxy is taken from the environment.
                aiohttp.ClientSession(
                    connector=connector,
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    timeout=aiohttp.ClientTimeout(total=None),
                    trust_env=False,
                ) as session,
            ):
                await self._follow(session, _start(url), into)
        except TimeoutError:
            raise FetchFailed(FetchFailure.TIMED_OUT) from None
        except aiohttp.ClientError as error:
            raise FetchFailed(guard.failure or _failure_of(error)) from error
        except UnicodeError:
            # A label of 64 letters, an empty one: the name goes as far as the look-up, and nobody can have it.
            raise FetchFailed(FetchFailure.ADDRESS_REFUSED) from None

    async def _follow(self, session: aiohttp.ClientSession, url: URL, into: Path) -> None:
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(url, headers=_HEADERS, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    await self._receive(response, into)
                    return
                url = _next(url, response.headers.get("location", ""))
        raise FetchFailed(FetchFailure.TOO_MANY_REDIRECTS)

    async def _receive(self, response: aiohttp.ClientResponse, into: Path) -> None:
        if response.status >= 500 or response.status in _MAY_PASS:
            raise FetchFailed(FetchFailure.HOST_FAILED)
        if response.status != 200:
            raise FetchFailed(FetchFailure.REFUSED_BY_HOST)
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise FetchFailed(FetchFailure.TYPE_UNSUPPORTED)
        if (response.content_length or 0) > self._max_bytes:
            raise FetchFailed(FetchFailure.TOO_LARGE)
        received = chunks = 0
        async with aiofiles.open(into, "wb") as file:
            async for piece, is_chunk in response.content.iter_chunks():
                received += len(piece)
                chunks += is_chunk
                if received > self._max_bytes:
                    raise FetchFailed(FetchFailure.TOO_LARGE)
                if chunks > _CRUMBS and received < chunks * _CRUMB_BYTES:
                    raise FetchFailed(FetchFailure.REFUSED_BY_HOST)  # for good: it does so on purpose
                await file.write(piece)


class _Guard:
    """Makes the sockets of one fetch; `failure` says that one of them was refused."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self.failure: FetchFailure | None = None

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not may_connect(str(address[0]), int(address[1]), self._allowed):
            self.failure = FetchFailure.ADDRESS_REFUSED
            # An OSError lets the other addresses of the name have their try.
            raise PermissionError("the address is not of the public internet")
        return socket.socket(family, kind, protocol)


def _start(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        raise FetchFailed(FetchFailure.ADDRESS_REFUSED) from None
    return _checked(url)


def _next(before: URL, location: str) -> URL:
    if not location:
        raise FetchFailed(FetchFailure.REFUSED_BY_HOST)
    try:
        return _checked(before.join(URL(location)))
    except ValueError:
        raise FetchFailed(FetchFailure.ADDRESS_REFUSED) from None


def _checked(url: URL) -> URL:
    """The address, if it is one of the web without a name and password."""
    if url.scheme not in ("http", "https") or not url.host or url.user is not None or url.password is not None:
        raise FetchFailed(FetchFailure.ADDRESS_REFUSED)
    return url


def _failure_of(error: aiohttp.ClientError) -> FetchFailure:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchFailure.HOST_NOT_FOUND
    if isinstance(error, aiohttp.InvalidURL):
        return FetchFailure.ADDRESS_REFUSED
    # Whoever breaks off, or speaks no HTTP, may do better later.
    return FetchFailure.UNREACHABLE
