"""A web server on 127.0.0.1 that answers as it is told, and names that lead wherever a test wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp.abc import AbstractResolver, ResolveResult

from tests.certificates import Authority

Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Respond:
    """An answer of HTTP/1.1 that is whole at once."""
    lines = {"content-length": str(len(body)), "connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)
        await writer.drain()

    return respond


@dataclass
class Web:
    """What is served under which path, and what was asked for."""

    scheme: str
    port: int = 0
    pages: dict[str, Respond] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split(" ", 2)[1]
            self.asked.append(path)
            await self.pages.get(path, answer("404 Not Found"))(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_now -= 1
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """A web server for as long as the block lasts; with `tls` it speaks https."""
    web = Web("http" if tls is None else "https")
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """How a server of these names speaks https, and what a client trusts who is to believe it."""
    authority = Authority()
    certificate, key = authority.issue(names[0], names).write(folder)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cadata=authority.pem.decode())


class Names(AbstractResolver):
    """Looks names up in a list; of one with several answers each look gives the next, and then the last for ever."""

    def __init__(self, names: Mapping[str, list[str]]) -> None:
        self._names = {name: list(hosts) for name, hosts in names.items()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The address of the name. Raises OSError for one that is not in the list."""
        hosts = self._names.get(host)
        if not hosts:
            raise OSError(f"no such name: {host}")
        found = hosts.pop(0) if len(hosts) > 1 else hosts[0]
        kind = socket.AF_INET6 if ":" in found else socket.AF_INET
        return [ResolveResult(hostname=host, host=found, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST)]

    async def close(self) -> None:
        """Nothing is held."""
