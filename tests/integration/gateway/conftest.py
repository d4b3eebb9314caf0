"""One gateway in front of a server that only notes what arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from marketd.app import SERVICES
from marketd.gateway.gateway import Upstream
from marketd.transport.access import AccessTable

from tests.worlds.echo import Echo, serving
from tests.worlds.gateway import RunningGateway, running
from tests.worlds.parts import make_settings


@dataclass(frozen=True)
class Rest:
    """The gateway, and what is behind it."""

    gateway: RunningGateway
    echo: Echo


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_rest(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rest]:
    """One for all tests of this process."""
    echo = Echo([rule for rule in AccessTable.from_names(SERVICES) if rule.method.startswith("/marketplace.")])
    settings = make_settings("postgresql://nobody@127.0.0.1:1/nowhere")
    async with serving(echo) as port:
        folder = tmp_path_factory.mktemp("gateway")
        async with running(settings, folder, [Upstream(host="127.0.0.1", port=port)]) as gateway:
            yield Rest(gateway, echo)


@pytest_asyncio.fixture(loop_scope="session")
async def rest(shared_rest: Rest) -> Rest:
    """The same, without what other tests have left, and known to be well.

    Its loop rests while this process runs other tests; after some seconds the gateway takes that for ill.
    """
    await shared_rest.gateway.until_serving()
    shared_rest.echo.on.clear()
    shared_rest.echo.seen.clear()
    return shared_rest
