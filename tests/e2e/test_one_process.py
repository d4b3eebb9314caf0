"""One process as it is put together: what it clears away, what it measures, and that nobody reads old answers."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from marketd import app as composition
from marketd.config import Environment, Settings
from marketd.process.core import StartRefused
from marketd.process.process import App
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, category_pb2
from marketplace_client import MarketplaceClient

from tests.canaries import MARK

# Of each, one that is over and one that is not; what is handed on is kept for 30 days, an audit entry for a year.
_OLD_AND_YOUNG = """
INSERT INTO rate_buckets (bucket_key, full_time)
  VALUES ('old', now() - interval '1 s'), ('young', now() + interval '1 h');
INSERT INTO idempotency_keys (caller_key, method, request_id, fingerprint, answer, create_time, expire_time)
  SELECT word, 'm', gen_random_uuid(), '', '', now() - interval '2 d', now() + span
  FROM (VALUES ('old', interval '-1 s'), ('young', interval '1 h')) AS one(word, span);
INSERT INTO outbox_events (event_id, aggregate, aggregate_id, seq, event_type, version, payload, occurred_time,
                           publish_time)
  SELECT gen_random_uuid(), word, gen_random_uuid(), 1, 'thing.happened', 1, '{}', now() - span, now() - span
  FROM (VALUES ('old', interval '30 d 1 min'), ('young', interval '29 d 23 h')) AS one(word, span);
INSERT INTO handled_events (handler, event_id, handle_time)
  SELECT word, gen_random_uuid(), now() - span
  FROM (VALUES ('old', interval '60 d 1 min'), ('young', interval '59 d 23 h')) AS one(word, span);
INSERT INTO audit_entries (audit_entry_id, create_time, actor_kind, method, resource_type, resource_id, code,
                           refusal_reason, comment, correlation_id, remote_address, changes)
  SELECT gen_random_uuid(), now() - span, 'SYSTEM', word, '', '', 'OK', '', '', '', '', '[]'
  FROM (VALUES ('old', interval '365 d 1 min'), ('young', interval '364 d 23 h')) AS one(word, span);
"""
_LEFT = """
SELECT encode(bucket_key, 'escape') AS word, 'rate_buckets' AS place FROM rate_buckets
  WHERE bucket_key IN ('old', 'young')
UNION ALL SELECT caller_key, 'idempotency_keys' FROM idempotency_keys WHERE method = 'm'
UNION ALL SELECT aggregate, 'outbox_events' FROM outbox_events WHERE event_type = 'thing.happened'
UNION ALL SELECT handler, 'handled_events' FROM handled_events WHERE handler IN ('old', 'young')
UNION ALL SELECT method, 'audit_entries' FROM audit_entries WHERE method IN ('old', 'young')
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection to the test's own database."""
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def with_leftovers(connection: asyncpg.Connection) -> None:
    """Ask for it before the app, which clears away as soon as it starts."""
    await connection.execute(_OLD_AND_YOUNG)


async def test_a_process_clears_away_what_is_over_and_nothing_else_and_measures_itself(
    with_leftovers: None, connection: asyncpg.Connection, app: App, admin: tuple[str, str]
) -> None:
    left = await _until_cleared(connection)
    places = {"rate_buckets", "idempotency_keys", "outbox_events", "handled_events", "audit_entries"}
    assert {row["place"] for row in left if row["word"] == "young"} == places

    async with MarketplaceClient(f"127.0.0.1:{app.port}") as client:
        await client.login(*admin)
        listing = catalog_service_pb2.ListCategoriesRequest()
        for name in ("Cups", "Mugs"):
            assert name not in await _names(client, listing)
            made = category_pb2.Category(name=name)
            await client.catalog.CreateCategory(catalog_service_pb2.CreateCategoryRequest(category=made))
            assert name in await _names(client, listing), "an answer is not kept beyond what changes it"

    shown = await asyncio.to_thread(_metrics, app)
    for name in (
        'marketd_rpc_total{code="OK",method="/marketplace.catalog.v1.CatalogService/ListCategories",reason=""}',
        ',unit="rates.sweep"}',
        "marketd_streams_open",
        "process_resident_memory_bytes",
        "python_gc_collections_total",
        "python_info",
    ):
        assert name in shown


async def _until_cleared(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Wait until nothing old is there; what is left."""
    async with asyncio.timeout(30):
        while True:
            left = list(await connection.fetch(_LEFT))
            if not [row for row in left if row["word"] == "old"]:
                return left
            await asyncio.sleep(0.05)


async def _names(client: MarketplaceClient, listing: catalog_service_pb2.ListCategoriesRequest) -> set[str]:
    return {each.name for each in (await client.catalog.ListCategories(listing)).categories}


def _metrics(app: App) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{app.admin_port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


async def test_background_work_is_done_without_serving_and_serving_goes_without_it(
    with_leftovers: None, connection: asyncpg.Connection, settings: Settings
) -> None:
    changes = {"run_worker": False, "request_id_lifetime": timedelta(hours=25)}
    serving = await composition.build(settings.model_copy(update=changes))
    await serving.start()
    async with MarketplaceClient(f"127.0.0.1:{serving.port}") as client:
        await client.register("kim@shop.example", f"a buyer's passphrase {MARK}")
        await client.cart.ClearCart(cart_service_pb2.ClearCartRequest(request_id=str(uuid4())))
        kept = "SELECT expire_time - create_time FROM idempotency_keys WHERE method LIKE '%/ClearCart'"
        assert await connection.fetchval(kept) == timedelta(hours=25)
        assert await _names(client, catalog_service_pb2.ListCategoriesRequest()) == set()
    assert 'unit="rates.sweep"' not in await asyncio.to_thread(_metrics, serving)
    assert len(await connection.fetch(_LEFT)) == 10
    await serving.stop(0)
    working = await composition.build(settings, serve=False)
    assert working.port == 0
    await working.start()
    await _until_cleared(connection)
    assert "marketd_rpc_total" not in await asyncio.to_thread(_metrics, working)
    await working.stop(0)


async def test_a_process_that_cannot_have_its_metrics_port_says_which_and_lets_everything_go(
    settings: Settings, app: App
) -> None:
    second = await composition.build(settings.model_copy(update={"run_worker": False}), admin_port=app.admin_port)
    with pytest.raises(StartRefused, match=f"the metrics port {app.admin_port} .* cannot be used .*ADMIN_PORT"):
        await second.start()
    await second.stop(0)


async def test_failpoints_are_refused_in_production_by_a_worker_too(settings: Settings) -> None:
    """A worker that is started by hand has passed no other check."""
    changes = {"env": Environment.PRODUCTION, "failpoints": settings.data_dir}
    with pytest.raises(StartRefused, match="MARKETD_FAILPOINTS is for tests only"):
        await composition.build(settings.model_copy(update=changes), serve=False)


@pytest.mark.parametrize("is_on", [True, False])
async def test_calls_have_lines_of_their_own_where_that_was_set(
    settings: Settings, capsys: pytest.CaptureFixture[str], is_on: bool
) -> None:
    app = await composition.build(settings.model_copy(update={"access_log": is_on, "run_worker": False}))
    await app.start()
    try:
        async with MarketplaceClient(f"127.0.0.1:{app.port}") as client:
            await _names(client, catalog_service_pb2.ListCategoriesRequest())
    finally:
        await app.stop(0)
    said = capsys.readouterr().err
    assert ('"method":"/marketplace.catalog.v1.CatalogService/ListCategories"' in said) is is_on
