"""The real app on a real socket, on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from marketd import app as composition
from marketd.config import Settings
from marketd.process.process import App

from tests.canary_looks import look_into
from tests.worlds.parts import make_settings
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.workers import Worker, make_admin, pair


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a test server."""
    return make_settings(database_url, data_dir=tmp_path)


@pytest.fixture(scope="session")
def shared_settings(lasting_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the shared workers. There is no grace for spent refresh tokens, so nobody has to wait for its end."""
    return make_settings(lasting_database(), data_dir=tmp_path_factory.mktemp("shared"), refresh_grace=timedelta(0))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def workers(shared_settings: Settings) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers with an administrator, for all tests of this process that keep to accounts of their own.

    A test uses them with `pytest.mark.asyncio(loop_scope="session")`.
    """
    await make_admin(shared_settings)
    async with pair(shared_settings) as made:
        yield made


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[App]:
    """A server that serves, with its background work."""
    built = await composition.build(settings)
    await built.start()
    yield built
    await look_into(built)
    await built.stop(0)


@pytest.fixture
async def channel(app: App) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to it."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.port}") as opened:
        yield opened


@pytest.fixture
async def admin(app: App, settings: Settings) -> tuple[str, str]:
    """An administrator's e-mail and password."""
    await make_admin(settings)
    return ADMIN_EMAIL, ADMIN_PASSWORD
