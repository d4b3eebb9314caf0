"""Probes for the tests of transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.worlds import probe as probes
from tests.worlds.probe import Probe


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
