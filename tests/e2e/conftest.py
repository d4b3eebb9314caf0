"""The real app on a real socket, on a database of the test's own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from marketd import app as composition
from marketd.config import Settings
from marketd.gateway.gateway import Upstream
from marketd.process.process import App

from tests.canary_looks import look_into
from tests.worlds.gateway import ORIGIN, RunningGateway, running
from tests.worlds.pages import fill_media, make_pages
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
async def workers(shared_settings: Settings, sockets: tuple[Path, Path]) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers with an administrator, for all tests of this process that keep to accounts of their own.

    A test uses them with `pytest.mark.asyncio(loop_scope="session")`.
    """
    await make_admin(shared_settings)
    async with pair(shared_settings, sockets) as made:
        yield made


@pytest.fixture(scope="session")
def sockets() -> Iterator[tuple[Path, Path]]:
    """Where the shared workers listen for the gateway; paths of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="mg-") as folder:
        yield Path(folder) / "0.sock", Path(folder) / "1.sock"


@pytest.fixture(scope="session")
def pages(shared_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the gateway serves; there are pictures for it too."""
    fill_media(shared_settings.media_folder)
    return make_pages(tmp_path_factory.mktemp("web"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_gateway(
    shared_settings: Settings, workers: tuple[Worker, Worker], sockets: tuple[Path, Path], pages: Path
) -> AsyncIterator[RunningGateway]:
    """One gateway in front of the shared workers, as `serve --gateway` has it. It lets pages of ORIGIN call."""
    upstreams = [Upstream(socket=path) for path in sockets]
    bounds: dict[str, Any] = {"idle_seconds": 15.0, "origins": (ORIGIN,)}
    async with running(shared_settings, sockets[0].parent, upstreams, static=pages, **bounds) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(shared_gateway: RunningGateway) -> RunningGateway:
    """The same, once it knows of a worker that serves.

    The workers live in this process, in a loop that rests while tests with loops of their own run: they are silent
    then, and the gateway takes them for dead.
    """
    await shared_gateway.until_serving()
    return shared_gateway


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
