"""Probes for the tests of transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.worlds import probe as probes
from tests.worlds.probe import Probe
from tests.worlds.raw_http2 import Connection


@pytest.fixture
async def start_probe() -> AsyncIterator[Callable[..., Awaitable[Probe]]]:
    """Starts probes with ServerOptions of the test's own; they are stopped at its end."""
    started: list[Probe] = []

    async def start(**options: Any) -> Probe:
        started.append(await probes.start_probe(**options))
        return started[-1]

    yield start
    for each in started:
        await each.channel.close()
        await each.server.stop(0)


@pytest.fixture
async def probe(start_probe: Callable[..., Awaitable[Probe]]) -> Probe:
    """A probe with the default options."""
    return await start_probe()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Connection]]]:
    """Opens raw connections; they are closed at the end."""
    opened: list[Connection] = []

    async def open_one(probe: Probe, **options: Any) -> Connection:
        opened.append(await Connection.open(options.pop("port", probe.server.port), **options))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()
