"""What very many products do to reads: the same calls on small and large marketplaces, and the database's share.

The marketplaces stand beside each other and are asked in turn, so that what the machine does meanwhile meets all of
them. Latencies are those of calls through the real servers, which keep no answers; the database's time is processor
time of the backend that answers, which others on the machine do not lengthen.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import asyncpg
import grpc
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc, search_pb2
from rich.console import Group
from rich.table import Table
from rich.text import Text

from marketd.bench import cpu, growth_data, growth_queries
from marketd.bench.growth_queries import Words
from marketd.bench.measure import percentile
from marketd.bench.report import machine
from marketd.bench.servers import Running, complaints, start_server
from marketd.bench.world import CALL_SECONDS
from marketd.catalog.search.facets import count_matches
from marketd.catalog.search.find import match
from marketd.catalog.search.repository.filters import with_attribute_keys
from marketd.catalog.search.search import search_products
from marketd.catalog.search.values import FacetKind, SearchOrder, SearchQuery
from marketd.embedded import EmbeddedPostgres
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.clock import SystemClock

TARGET_RATIO: Final = 2.0
TARGET_QUERY_MS: Final = 10.0
TARGET_FACETS_MS: Final = 30.0
_CALLS = 200
_TIMES = 5
_DEEP_PAGE = 1_000
_FACETS: Final = (
    search_pb2.FACET_KIND_CATEGORY,
    search_pb2.FACET_KIND_BRAND,
    search_pb2.FACET_KIND_PRICE,
    search_pb2.FACET_KIND_IN_STOCK,
)
_COUNTED: Final = tuple(FacetKind)

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class DatabaseTime:
    """What a search costs the database: the medians of some runs, in milliseconds."""

    query_ms: float
    facets_ms: float


@dataclass(frozen=True, slots=True)
class GrowthMeasured:
    """p95 of each operation in milliseconds by the number of products, and the table of the largest marketplace."""

    sizes: Sequence[int]
    p95_ms: Mapping[str, Mapping[int, float]]
    database: Mapping[str, DatabaseTime]

    def ratio(self, name: str) -> float:
        """How much longer the largest marketplace takes than the smallest."""
        figures = self.p95_ms[name]
        return figures[self.sizes[-1]] / figures[self.sizes[0]]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "machine": machine(),
            "sizes": list(self.sizes),
            "operations": [
                {
                    "name": name,
                    "p95_ms": {str(size): round(value, 3) for size, value in figures.items()},
                    "ratio": round(self.ratio(name), 3),
                    "target": TARGET_RATIO,
                }
                for name, figures in self.p95_ms.items()
            ],
            "database": [
                {"query": name, "query_ms": round(each.query_ms, 2), "facets_ms": round(each.facets_ms, 2)}
                for name, each in self.database.items()
            ],
            "target_query_ms": TARGET_QUERY_MS,
            "target_facets_ms": TARGET_FACETS_MS,
        }

    def to_table(self) -> Group:
        """For a terminal."""
        calls = Table(box=None, padding=(0, 1, 0, 0))
        calls.add_column("p95 of", no_wrap=True)
        for column in (*(f"{size:,}\nproducts, ms" for size in self.sizes), "ratio", "at most"):
            calls.add_column(column, justify="right", no_wrap=True)
        for name, figures in self.p95_ms.items():
            calls.add_row(
                name, *(f"{value:.1f}" for value in figures.values()), f"{self.ratio(name):.2f}", f"{TARGET_RATIO:.0f}"
            )
        queries = Table(box=None, padding=(0, 1, 0, 0))
        queries.add_column(f"database time at {self.sizes[-1]:,}", no_wrap=True)
        for column in (f"query, ms\nof {TARGET_QUERY_MS:.0f}", f"facets, ms\nof {TARGET_FACETS_MS:.0f}"):
            queries.add_column(column, justify="right", no_wrap=True)
        for name, each in self.database.items():
            queries.add_row(name[:60], f"{each.query_ms:.1f}", f"{each.facets_ms:.1f}")
        return Group(calls, Text(""), queries)


@dataclass
class _Place:
    """One marketplace."""

    size: int
    dsn: str
    channel: grpc.aio.Channel
    words: Words
    calls: dict[str, Call] = field(default_factory=dict)


def run(
    sizes: Sequence[int], source: Path | None, keep: Path | None, progress: Callable[[str], None]
) -> GrowthMeasured:
    """Measure it with servers of its own, which are gone afterwards.

    sizes: ascending. source: a file of products whose words to use. keep: a folder whose marketplaces are used again
    and where new ones stay. Raises FileUnusable, ServerFailed, RuntimeError and grpc's errors.
    """
    with ExitStack() as stack:
        folder = keep
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="marketd-bench-")))
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # PostgreSQL may have to run as another user than root
        progress("starting the servers")
        servers = []
        for size in sizes:
            own = folder / str(size)
            own.mkdir(mode=0o755, exist_ok=True)
            _read_through(own)
            server = start_server("server", own, {"MARKETD_ANSWER_CACHE_SECONDS": "0"})
            stack.callback(server.stop)
            running = server.wait()
            postgres = EmbeddedPostgres(own / "data" / "postgres")
            postgres.start()  # attaches to the server's
            stack.callback(postgres.stop)
            servers.append((size, running, postgres.dsn()))
        try:
            return asyncio.run(_run(servers, source, progress))
        except Exception:
            for size in sizes:
                for line in complaints(folder / str(size)):
                    progress(line)
            raise


def _read_through(folder: Path) -> None:
    """Bring what is kept into the system's cache, where a filling has just left it: disks are not what is measured."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass


async def _run(
    servers: Sequence[tuple[int, Running, str]], source: Path | None, progress: Callable[[str], None]
) -> GrowthMeasured:
    async with AsyncExitStack() as stack:
        places = []
        for size, server, dsn in servers:
            progress(f"making {size:,} products")
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(server.target))
            places.append(await _fill(size, dsn, channel, source, progress))
        taken = await _call_in_turn(places, progress)
        sizes = [place.size for place in places]
        p95 = {name: {size: percentile(taken[name, size], 95) / 1000 for size in sizes} for name in places[0].calls}
        return GrowthMeasured(sizes, p95, await _database_times(places[-1], progress))


async def _fill(
    size: int, dsn: str, channel: grpc.aio.Channel, source: Path | None, progress: Callable[[str], None]
) -> _Place:
    connection = await asyncpg.connect(dsn)
    try:
        if not await growth_data.is_grown(connection, size, source):
            await growth_data.grow(connection, size, source=source, progress=progress)
        words = await growth_queries.read_words(connection)
        ids = [
            str(row["product_id"])
            for row in await connection.fetch(
                "SELECT product_id FROM products ORDER BY uuid_hash(product_id) LIMIT $1", _CALLS
            )
        ]
    finally:
        await connection.close()
    place = _Place(size, dsn, channel, words)
    place.calls = await _calls(place, ids)
    return place


async def _calls(place: _Place, ids: Sequence[str]) -> dict[str, Call]:
    """What is measured, each ready to be called again and again with something else."""
    stub = catalog_service_pb2_grpc.CatalogServiceStub(place.channel)
    pick = random.Random(1)  # noqa: S311 - the same calls each time

    def search(query: str) -> Awaitable[object]:
        request = catalog_service_pb2.SearchProductsRequest(query=query, facets=_FACETS)
        return stub.SearchProducts(request, timeout=CALL_SECONDS)

    def suggest() -> Awaitable[object]:
        word = pick.choice([*place.words.common, *place.words.rare])
        request = catalog_service_pb2.SuggestProductsRequest(query=word[: max(2, len(word) - 2)])
        return stub.SuggestProducts(request, timeout=CALL_SECONDS)

    def listed(request: catalog_service_pb2.ListProductsRequest) -> Awaitable[object]:
        return stub.ListProducts(request, timeout=CALL_SECONDS)

    deep = catalog_service_pb2.ListProductsRequest(page_size=1)
    for _ in range(min(_DEEP_PAGE, place.size) - 1):
        deep.page_token = (await stub.ListProducts(deep, timeout=CALL_SECONDS)).next_page_token
    return {
        "GetProduct": lambda: stub.GetProduct(
            catalog_service_pb2.GetProductRequest(product_id=pick.choice(ids)), timeout=CALL_SECONDS
        ),
        "ListProducts, page 1": lambda: listed(catalog_service_pb2.ListProductsRequest(page_size=20)),
        "ListProducts, page 1,000": lambda: listed(deep),
        "SearchProducts, rare words": lambda: search(pick.choice(place.words.rare)),
        "SearchProducts, common words": lambda: search(pick.choice(place.words.common)),
        "SuggestProducts": suggest,
    }


async def _call_in_turn(
    places: Sequence[_Place], progress: Callable[[str], None]
) -> dict[tuple[str, int], Sequence[int]]:
    """How long the calls took in microseconds, ascending, by operation and size."""
    taken: dict[tuple[str, int], list[int]] = {}
    for name in places[0].calls:
        progress(f"calling {name}")
        for number in range(-_CALLS // 10, _CALLS):
            for place in places:
                begun = time.perf_counter_ns()
                await place.calls[name]()
                if number >= 0:  # the ones before warm it up
                    taken.setdefault((name, place.size), []).append((time.perf_counter_ns() - begun) // 1000)
    return {which: sorted(each) for which, each in taken.items()}


async def _database_times(place: _Place, progress: Callable[[str], None]) -> dict[str, DatabaseTime]:
    """The table of searches over this marketplace, by the use cases themselves."""
    connection = await asyncpg.connect(place.dsn)
    try:
        queries = await growth_queries.table(connection, place.words)
    finally:
        await connection.close()
    found = {}
    async with _backend(place.dsn) as (tx, pid):
        for name, query in queries.items():
            progress(f"the database's time of {name[:40]}")
            runs = [await _database_time(tx, pid, query) for _ in range(_TIMES)]
            found[name] = DatabaseTime(median(each.query_ms for each in runs), median(each.facets_ms for each in runs))
    return found


@asynccontextmanager
async def _backend(dsn: str) -> AsyncIterator[tuple[Transactor, int]]:
    """A transactor on one connection, and the process at its other end."""
    engine = create_engine(dsn, pool_size=1)
    tx = Transactor(engine, SystemClock())

    async def ask(unit: ReadUnit) -> int:
        pid: int = await unit.connection.fetchval("SELECT pg_backend_pid()")
        return pid

    try:
        yield tx, await tx.read(ask)
    finally:
        await tx.drain()
        await engine.dispose()


async def _database_time(tx: Transactor, pid: int, query: SearchQuery) -> DatabaseTime:
    is_ranked = bool(query.text) and query.order is SearchOrder.RELEVANCE

    async def page(unit: ReadUnit) -> None:
        # How many match decides the way of the other orders; relevance counts them only beside.
        await search_products(unit, query, None, 26, None if is_ranked else ())

    async def counts(unit: ReadUnit) -> None:
        known = await with_attribute_keys(unit.connection, query)
        await count_matches(unit.connection, known, await match(unit, known), _COUNTED)

    async def spent(work: Callable[[ReadUnit], Awaitable[None]]) -> float:
        before = cpu.seconds_of([pid])
        await tx.read(work)
        return (cpu.seconds_of([pid]) - before) * 1000

    return DatabaseTime(await spent(page), await spent(counts))
