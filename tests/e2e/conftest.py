"""The real app on a real socket, on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from marketd import app as composition
from marketd.auth import operator
from marketd.config import Settings
from marketd.process.process import App

from tests.canary_looks import look_into
from tests.worlds.parts import make_settings
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a test server."""
    return make_settings(database_url, data_dir=tmp_path)


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
    assert settings.database_url is not None
    await operator.create_admin(settings, settings.database_url.get_secret_value(), ADMIN_EMAIL, ADMIN_PASSWORD)
    return ADMIN_EMAIL, ADMIN_PASSWORD
