"""One running marketplace for a worker of the run: the real app on a real socket, and the people and goods on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from marketd import app as composition
from marketd.auth import operator
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.values.ids import new_id

from tests.canary_looks import look_into
from tests.e2e.matrix.people import People
from tests.run_postgres import TEMPLATE
from tests.worlds.matrix import Market
from tests.worlds.parts import make_settings
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.wire import Wire


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def market(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    """The marketplace, furnished. Its relay and jobs rest: whatever is written, a call has written."""
    name = f"matrix_{new_id().hex}"
    keeper = await asyncpg.connect(postgres.dsn("postgres"))
    await keeper.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"')
    settings = make_settings(
        postgres.dsn(name),
        # All refusals come from one address here, and which tests run before one differs from run to run.
        audit_refusals=1_000_000,
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
