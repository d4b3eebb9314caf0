"""One running marketplace for a worker of the run: the real app on a real socket, and the people and goods on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from marketd import app as composition
from marketd.auth import operator
from marketd.config import Environment, Settings
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.values.ids import new_id
from pydantic import SecretStr

from tests.canaries import MARK
from tests.canary_looks import look_into
from tests.e2e.conftest import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.e2e.matrix.market import Market
from tests.e2e.matrix.people import People
from tests.e2e.matrix.wire import Wire
from tests.run_postgres import TEMPLATE


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def market(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    """The marketplace, furnished. Its relay and jobs rest: whatever is written, a call has written."""
    name = f"matrix_{new_id().hex}"
    keeper = await asyncpg.connect(postgres.dsn("postgres"))
    await keeper.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
    settings = Settings(
        env=Environment.TEST,
        database_url=SecretStr(postgres.dsn(name)),
        secret=SecretStr(f"the secret of the tests {MARK}"),
        password_pepper=SecretStr(f"the pepper of the tests {MARK}"),
        access_log=True,
        # All refusals come from one address here, and which tests run before one differs from run to run.
        audit_refusals=1_000_000,
        port=0,
        bcrypt_cost=4,
        pool_timeout_seconds=5,
        run_worker=False,
        mail_dir=tmp_path_factory.mktemp("mail"),
    )
    app = await composition.build(settings)
    await app.start()
    await operator.create_admin(settings, postgres.dsn(name), ADMIN_EMAIL, ADMIN_PASSWORD)
    # Channelz knows of channels that ask to be known.
    options = [("grpc.enable_channelz", 1), ("grpc.max_send_message_length", 8 * 1024 * 1024)]
    database = await asyncpg.connect(postgres.dsn(name))
    wire = Wire(f"127.0.0.1:{app.port}", options)
    made = Market(app, settings, wire, database)
    await made.furnish(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield made
    await look_into(app)
    await wire.close()
    await app.stop(0)
    await database.close()
    await keeper.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await keeper.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def people(market: Market) -> People:
    """Every kind of caller."""
    return await People.gather(market)
