"""Calls by HTTP/1.1, as a browser or curl makes them: gRPC-Web and REST, one in flight on each connection."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from marketd.bench.work import Found, WebCalls

CALL_SECONDS = 10.0
_OK = b"grpc-status:0\r\n"


class WebRefused(Exception):
    """An answer that is no success; the text has its beginning."""


class WebConnection:
    """A connection that is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, target: str) -> WebConnection:
        """Connect to HOST:PORT."""
        host, _, port = target.rpartition(":")
        async with asyncio.timeout(CALL_SECONDS):
            return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    async def call(self, verb: str, path: str, content_type: str, token: str, body: bytes) -> bytes:
        """The body of the answer. Raises WebRefused, and OSError when the connection is gone."""
        lines = [f"{verb} {path} HTTP/1.1", "host: bench.example", f"content-length: {len(body)}"]
        lines += [f"content-type: {content_type}"] if content_type else []
        lines += [f"authorization: Bearer {token}"] if token else []
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        async with asyncio.timeout(CALL_SECONDS):
            head = await self._reader.readuntil(b"\r\n\r\n")
            answer = await self._body(head.lower())
        trailers = answer[-512:] if content_type.startswith("application/grpc") else _OK
        if head.split(b" ", 2)[1] != b"200" or _OK not in trailers:
            raise WebRefused(f"{head.splitlines()[0].decode()}: {answer[-200:].decode(errors='replace')}")
        return answer

    def close(self) -> None:
        """End it."""
        self._writer.close()

    async def _body(self, head: bytes) -> bytes:
        for line in head.splitlines():
            name, _, value = line.partition(b":")
            if name == b"content-length":
                return await self._reader.readexactly(int(value))
        parts = []
        while size := int(await self._reader.readline(), 16):
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return b"".join(parts)


@asynccontextmanager
async def web_calls(given: WebCalls) -> AsyncIterator[Callable[[], Awaitable[Found]]]:
    """Ready for `WebCalls`."""
    connections = [await WebConnection.open(given.target) for _ in range(given.in_flight)]

    async def run() -> Found:
        latencies: list[int] = []
        refused: Counter[str] = Counter()
        begun = time.perf_counter()
        turns = itertools.cycle(given.requests)

        async def loop(connection: WebConnection) -> None:
            for token, body in turns:
                started = time.perf_counter_ns()
                try:
                    await connection.call(given.verb, given.path, given.content_type, token, body)
                except (WebRefused, OSError, TimeoutError, asyncio.IncompleteReadError) as failure:
                    refused[f"{type(failure).__name__}: {failure}"] += 1
                    return
                latencies.append((time.perf_counter_ns() - started) // 1000)
                if time.perf_counter() - begun > given.seconds:
                    return
                if given.pause_seconds:
                    await asyncio.sleep(given.pause_seconds)

        async with asyncio.TaskGroup() as tasks:
            for connection in connections:
                tasks.create_task(loop(connection))
        return Found(len(latencies), time.perf_counter() - begun, latencies, dict(refused))

    try:
        yield run
    finally:
        for connection in connections:
            connection.close()
