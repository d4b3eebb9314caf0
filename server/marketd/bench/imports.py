"""A large file that comes in over the wire: how fast, and what it does to everybody else meanwhile.

It has a server of its own with two workers, and no floor: GetProduct's latency is compared with itself in quiet. Those
calls are few and evenly spread, as one other client makes them, so that the figures show waiting for the import.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc, import_pb2

from marketd.bench import cpu
from marketd.bench.clients import LoadClients
from marketd.bench.files import write_shop_file
from marketd.bench.measure import Figures, figures_of
from marketd.bench.operations import CONNECTIONS, Mismatch, Round, Side
from marketd.bench.work import Calls, Found, merge
from marketd.bench.world import Account, World, bearer

ROWS, QUICK_ROWS = 100_000, 2_000
WORKERS = 2
NAME = "get_product_during_import"
NOTE = "its floor is the same server in quiet; rows, rates and memory are those of the import that ran meanwhile"
TARGET_ROWS_A_SECOND = 2500
TARGET_P99_MS = 50.0

_METHOD = "/marketplace.catalog.v1.CatalogService/GetProduct"
_CHUNK = 60 * 1024
_IN_FLIGHT = 2
_PAUSE_SECONDS = 0.01
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ImportsMeasured:
    """One import, and GetProduct before it and while it ran. Processor times are those of the import's whole run."""

    quiet: Figures
    busy: Figures
    rows: int
    products: int
    seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    postgres_cpu_seconds: float
    memory_growth_mib: float

    @property
    def rows_per_second(self) -> float:
        """From the first byte sent to the summary."""
        return self.rows / self.seconds

    @property
    def meets_target(self) -> bool:
        """Whether it is as fast as promised, and leaves others as fast as promised."""
        return self.rows_per_second >= TARGET_ROWS_A_SECOND and self.busy.p99_ms <= TARGET_P99_MS

    def to_json(self) -> dict[str, Any]:
        """In the form of the other operations, as far as it has their figures."""
        return {
            "name": NAME,
            **_rounded(asdict(self.busy)),
            "floor": {"quiet": _rounded(asdict(self.quiet))},
            "target": None,
            "rounds": 1,
            "rows": self.rows,
            "products": self.products,
            "seconds": round(self.seconds, 2),
            "rows_per_second": round(self.rows_per_second, 1),
            "target_rows_per_second": TARGET_ROWS_A_SECOND,
            "target_p99_ms": TARGET_P99_MS,
            "meets_target": self.meets_target,
            "client_cpu_seconds": round(self.client_cpu_seconds, 2),
            "server_cpu_seconds": round(self.server_cpu_seconds, 2),
            "postgres_cpu_seconds": round(self.postgres_cpu_seconds, 2),
            "memory_growth_mib": round(self.memory_growth_mib, 1),
            "note": NOTE,
        }

    def sentence(self) -> str:
        """For a terminal."""
        return (
            f"import of {self.rows:,} rows ({self.products:,} products): {self.rows_per_second:,.0f} rows/s "
            f"(at least {TARGET_ROWS_A_SECOND:,}); processor seconds: client {self.client_cpu_seconds:.1f}, "
            f"server {self.server_cpu_seconds:.1f}, PostgreSQL {self.postgres_cpu_seconds:.1f}; the workers grow by "
            f"{self.memory_growth_mib:.0f} MiB. GetProduct meanwhile: p99 {self.busy.p99_ms:.1f} ms (at most "
            f"{TARGET_P99_MS:.0f}; in quiet {self.quiet.p99_ms:.1f} ms), p50 {self.busy.p50_ms:.1f} ms."
        )


async def measure_imports(
    world: World,
    side: Side,
    clients: LoadClients,
    postmaster_pid: int,
    size: Round,
    rows: int,
    folder: Path,
    progress: Callable[[str], None],
) -> ImportsMeasured:
    """Measure it. Raises LoadFailed, Mismatch when products are missing afterwards, and grpc's errors."""
    await world.open_shops()
    owner = await world.fresh(world.shops[0])
    product = catalog_service_pb2.GetProductRequest(product_id=world.products[0].product_id).SerializeToString()
    file = folder / "import.csv"
    products = await asyncio.to_thread(write_shop_file, file, rows, uuid.uuid4().hex[:8])

    def cpu_seconds() -> tuple[float, float, float]:
        return time.process_time(), cpu.seconds_of(side.pids), cpu.postgres_seconds(postmaster_pid)

    async def get_products() -> Found:
        load = Calls(side.target, _METHOD, [("", product)], _IN_FLIGHT, CONNECTIONS, size.seconds, _PAUSE_SECONDS)
        return await clients.run([load], lambda: None)

    progress(f"{NAME}: in quiet")
    await get_products()
    before = cpu_seconds()
    found = await get_products()
    after = cpu_seconds()
    quiet = figures_of(found, after[1] - before[1], after[2] - before[2])
    progress(f"{NAME}: importing {rows:,} rows")
    memory = _Memory(side.pids)
    watching = asyncio.create_task(memory.watch())
    before = cpu_seconds()
    importing = asyncio.create_task(_import(side.target, owner, file))
    rounds: list[Found] = []
    try:
        while not importing.done():
            found = await get_products()
            if not importing.done() or not rounds:
                rounds.append(found)
        after = cpu_seconds()
        summary, seconds = await importing
    finally:
        watching.cancel()
        importing.cancel()
        file.unlink()
    if summary.rows != rows or summary.products_created != products:
        raise Mismatch(f"{NAME}: {products} products were sent and {summary.products_created} made")
    busy = figures_of(merge(rounds), after[1] - before[1], after[2] - before[2])
    used = [late - early for late, early in zip(after, before, strict=True)]
    return ImportsMeasured(quiet, busy, rows, products, seconds, used[0], used[1], used[2], memory.growth_mib)


async def _import(target: str, owner: Account, file: Path) -> tuple[import_pb2.ImportSummary, float]:
    """The summary, and the seconds from the first byte to it."""
    content = await asyncio.to_thread(file.read_bytes)
    options = import_pb2.ImportOptions(
        file_name=file.name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), publish=True
    )

    async def messages() -> AsyncIterator[catalog_service_pb2.ImportProductsRequest]:
        yield catalog_service_pb2.ImportProductsRequest(options=options, request_id=str(uuid.uuid4()))
        for start in range(0, len(content), _CHUNK):
            yield catalog_service_pb2.ImportProductsRequest(chunk=content[start : start + _CHUNK])

    async with grpc.aio.insecure_channel(target) as channel:
        catalog: Any = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        begun = time.perf_counter()
        summary = None
        async for event in catalog.ImportProducts(messages(), metadata=bearer(owner)):
            if event.HasField("summary"):
                summary = event.summary
        if summary is None:
            raise Mismatch(f"{NAME}: the import ended without a summary")
        return summary, time.perf_counter() - begun


class _Memory:
    """By how much the process that grows most has grown at most."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._before = [process.memory_info().rss for process in self._processes]
        self._most = 0

    @property
    def growth_mib(self) -> float:
        """In MiB."""
        return self._most / 2**20

    async def watch(self) -> None:
        """Look until cancelled."""
        with suppress(psutil.NoSuchProcess):
            while True:
                for process, before in zip(self._processes, self._before, strict=True):
                    self._most = max(self._most, process.memory_info().rss - before)
                await asyncio.sleep(_LOOK_SECONDS)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 3 if name.endswith("_ms") else 1) for name, value in figures.items()}
