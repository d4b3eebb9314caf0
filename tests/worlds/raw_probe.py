"""Calls of the probe service by raw HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tests.worlds.probe_service import SERVICE
from tests.worlds.raw_http2 import Connection, Headers, block

DEADLINE_EXCEEDED, INVALID_ARGUMENT, UNIMPLEMENTED, UNAVAILABLE, UNAUTHENTICATED = "4", "3", "12", "14", "16"
SOON: Final = 10.0


def to(method: str, token: str = "", extra: Headers = ()) -> bytes:
    """The headers of a call of the probe service."""
    return block(f"/{SERVICE}/{method}", [*([("authorization", f"Bearer {token}")] if token else []), *extra])


async def settled(found: Callable[[], bool]) -> None:
    """Wait until it is so; raises TimeoutError."""
    async with asyncio.timeout(SOON):
        while not found():  # noqa: ASYNC110 - the server has no event for every number that tests look at
            await asyncio.sleep(0.01)


async def status_of_a_call(raw: Connection) -> str:
    """How a call on this connection ends."""
    return (await raw.end_of(raw.call(to("Get")), SOON)).status
