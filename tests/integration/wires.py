"""Wires between a process and its database that fail as networks and dying servers do."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs, urlsplit

# What the database says to a client that would rather speak TLS; it is no message as all others are.
_NO_TLS = b"N"


class Wire:
    """A wire to the database that can be cut, lose messages, hold them back or go mad: a forwarder on its own port.

    A message is known by a text in it, such as `COMMIT`; texts are looked for in what the process sends.
    """

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._ends: list[asyncio.StreamWriter] = []
        self._rubbish = b""
        self._lost = b""
        self._unanswered = b""
        self._last = b""
        self._is_silent = False
        self._free = asyncio.Event()
        self._free.set()
        self.holding = asyncio.Event()
        """Set while something is held back."""
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
        self.take_no_more()
        for end in self._ends:
            end.transport.abort()

    def take_no_more(self) -> None:
        """New connections are refused from now on; what is open stays open."""
        if self._server is not None:
            self._server.close()

    def answer_next_with(self, rubbish: bytes) -> None:
        """Swallow what is sent next, and answer it with this."""
        self._rubbish = rubbish

    def lose(self, text: bytes) -> None:
        """The next message with this text gets lost: the connection breaks before the database has seen it."""
        self._lost = text

    @property
    def is_losing(self) -> bool:
        """Whether the message that is to get lost, or whose answer is, has not come yet."""
        return bool(self._lost or self._unanswered)

    def lose_answer_to(self, text: bytes) -> None:
        """The next message with this text arrives, and the connection breaks when the database has answered it."""
        self._unanswered = text

    def hold_after(self, text: bytes) -> None:
        """The next message with this text is the last one for now: what is sent after it waits for `let_go`."""
        self._last = text

    def lose_notifications(self) -> None:
        """What the database tells of its own accord gets lost from now on; answers arrive."""
        self._is_silent = True

    def let_go(self) -> None:
        """Send on what was held back."""
        self._free.set()
        self.holding.clear()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._dial()
        self._ends += [writer, far_writer]
        deaf = asyncio.Event()
        await asyncio.gather(self._send(reader, far_writer, writer, deaf), self._pump(far_reader, writer, deaf))

    async def _send(
        self,
        reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        deaf: asyncio.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if not self._free.is_set():
                    self.holding.set()
                    await self._free.wait()
                if self._rubbish:
                    back.write(self._rubbish)
                    self._rubbish = b""
                    continue
                if self._lost and self._lost in data:
                    self._lost = b""
                    back.transport.abort()
                    break
                if self._unanswered and self._unanswered in data:
                    self._unanswered = b""
                    deaf.set()
                if self._last and self._last in data:
                    self._last = b""
                    self._free.clear()
                far_writer.write(data)
                await far_writer.drain()
        far_writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        query = parse_qs(self._url.query)
        if "host" in query:
            return await asyncio.open_unix_connection(f"{query['host'][0]}/.s.PGSQL.{query.get('port', ['5432'])[0]}")
        return await asyncio.open_connection(self._url.hostname, self._url.port)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: asyncio.Event) -> None:
        left = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if deaf.is_set():
                    writer.transport.abort()
                    return
                if self._is_silent and data != _NO_TLS:
                    data, left = _without_notifications(left + data)
                writer.write(data)
                await writer.drain()
        writer.close()


def _without_notifications(data: bytes) -> tuple[bytes, bytes]:
    """The whole messages in it but for notifications, and the beginning of the one that is not whole yet."""
    kept, place = bytearray(), 0
    while len(data) - place >= 5:
        end = place + 1 + int.from_bytes(data[place + 1 : place + 5], "big")
        if end > len(data):
            break
        if data[place : place + 1] != b"A":
            kept += data[place:end]
        place = end
    return bytes(kept), data[place:]
