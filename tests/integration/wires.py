"""Wires between a process and its database that fail as networks and dying servers do."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit


class Wire:
    """A wire to the database that can be cut or go mad: a forwarder on a port of its own."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._ends: list[asyncio.StreamWriter] = []
        self._rubbish = b""
        self.url = ""

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, _, _ = self._url.netloc.rpartition("@")
        self.url = f"postgresql://{user}@127.0.0.1:{port}{self._url.path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def cut(self) -> None:
        """End what is open and take nothing more."""
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()

    def answer_next_with(self, rubbish: bytes) -> None:
        """Swallow what is sent next, and answer it with this."""
        self._rubbish = rubbish

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._dial()
        self._ends += [writer, far_writer]
        await asyncio.gather(self._send(reader, far_writer, writer), _pump(far_reader, writer))

    async def _send(
        self, reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._rubbish:
                    back.write(self._rubbish)
                    self._rubbish = b""
                else:
                    far_writer.write(data)
                    await far_writer.drain()
        far_writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._url.query)
        if "host" in query:
            return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}")
        return await asyncio.open_connection(self._url.hostname, self._url.port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
