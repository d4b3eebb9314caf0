"""The real app on a real socket, on a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from marketd import app as composition
from marketd.auth import operator
from marketd.config import Environment, Settings
from marketd.process.process import App
from pydantic import SecretStr

from tests.canaries import MARK
from tests.canary_looks import look_into

ADMIN_EMAIL = "admin@marketplace.example"
ADMIN_PASSWORD = f"an administrator's passphrase {MARK}"


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Settings of a test server: cheap hashes, a free port, everything else as it ships."""
    return Settings(
        env=Environment.TEST,
        database_url=SecretStr(database_url),
        data_dir=tmp_path,
        secret=SecretStr(f"the secret of the tests {MARK}"),
        password_pepper=SecretStr(f"the pepper of the tests {MARK}"),
        access_log=True,
        port=0,
        bcrypt_cost=4,
        pool_timeout_seconds=5,
    )


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
