"""One running marketplace for a worker of the run: the real app on a real socket, and the people and goods on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest
import pytest_asyncio
from marketd import app as composition
from marketd.auth import operator
from marketd.gateway.gateway import Upstream

from tests.canary_looks import look_into
from tests.e2e.matrix.people import People
from tests.worlds.gateway import RunningGateway, running
from tests.worlds.matrix import Market
from tests.worlds.observed import ObservedApp
from tests.worlds.parts import make_settings
from tests.worlds.things import ADMIN_EMAIL, ADMIN_PASSWORD
from tests.worlds.wire import Wire


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def market(
    lasting_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Market]:
    """The marketplace, furnished. Its relay and jobs rest: whatever is written, a call has written."""
    url = lasting_database()
    settings = make_settings(
        url,
        # All refusals come from one address here, and which tests run before one differs from run to run.
        audit_refusals=1_000_000,
        run_worker=False,
        mail_dir=tmp_path_factory.mktemp("mail"),
    )
    app = await composition.build(settings)
    await app.start()
    await operator.create_admin(settings, url, ADMIN_EMAIL, ADMIN_PASSWORD)
    # Channelz knows of channels that ask to be known.
    options = [("grpc.enable_channelz", 1), ("grpc.max_send_message_length", 8 * 1024 * 1024)]
    database = await asyncpg.connect(url)
    wire = Wire(f"127.0.0.1:{app.port}", options)
    # Another worker on the same database: they share nothing but that.
    second = await composition.build(settings)
    await second.start()
    second_wire = Wire(f"127.0.0.1:{second.port}", options)
    made = Market(app, settings, wire, database, ObservedApp(second, settings, second_wire, database))
    await made.furnish(ADMIN_EMAIL, ADMIN_PASSWORD)
    yield made
    for each in (app, second):
        await look_into(each)
    for each_wire in (wire, second_wire):
        await each_wire.close()
    for each in (second, app):
        await each.stop(0)
    await database.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_market_gateway(
    market: Market, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningGateway]:
    """A gateway in front of it."""
    upstream = Upstream(host="127.0.0.1", port=market.app.port)
    async with running(market.settings, tmp_path_factory.mktemp("gateway"), [upstream]) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def market_gateway(shared_market_gateway: RunningGateway) -> RunningGateway:
    """The same, once it knows that the market serves, whose loop rests during tests with loops of their own."""
    await shared_market_gateway.until_serving()
    return shared_market_gateway


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def people(market: Market) -> People:
    """Every kind of caller."""
    return await People.gather(market)
