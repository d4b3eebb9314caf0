"""How well a search finds what people call right: nDCG@10 of the real SearchProducts, beside naive baselines."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
from marketplace.catalog.v1 import catalog_service_pb2, search_pb2
from rich.console import Group
from rich.table import Table
from rich.text import Text

from marketd.bench import search_baselines
from marketd.bench.measure import percentile
from marketd.bench.report import machine
from marketd.bench.search_files import Judgments, SearchProduct, read_judgments, read_products
from marketd.bench.search_quality import Judged, judge, mean_ndcg, mean_ndcg_judged
from marketd.bench.search_world import load_products
from marketd.bench.servers import Running, complaints, run_command, settings_environment, start_server
from marketd.bench.world import CALL_SECONDS, World
from marketd.embedded import EmbeddedPostgres

TARGET, TARGET_JUDGED = 0.77, 0.81
_DEPTH = 100
_ROUNDS = 3
_WORST = 10
_CURRENCY = "EUR"
# What a shop's page of results shows beside them.
_FACETS: Final = (
    search_pb2.FACET_KIND_CATEGORY,
    search_pb2.FACET_KIND_BRAND,
    search_pb2.FACET_KIND_PRICE,
    search_pb2.FACET_KIND_IN_STOCK,
)


@dataclass(frozen=True, slots=True)
class SearchMeasured:
    """What came of it. `empty`: the queries that found nothing; `unjudged`: those for which no product is good, which
    have no best answer and stand in no mean. Latencies are those of a page of 25 with four facets, no answer kept.
    """

    products: int
    judged: Sequence[Judged]
    empty: Sequence[str]
    unjudged: Sequence[str]
    baselines: Mapping[str, float]
    p50_ms: float
    p99_ms: float

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "machine": machine(),
            "products": self.products,
            "queries": len(self.judged),
            "ndcg_at_10": round(mean_ndcg(self.judged), 4),
            "ndcg_at_10_judged": round(mean_ndcg_judged(self.judged), 4),
            "empty": list(self.empty),
            "unjudged": list(self.unjudged),
            "baselines": {name: round(value, 4) for name, value in self.baselines.items()},
            "worst": [
                {"query": each.query, "ndcg_at_10": round(each.ndcg, 4), "found": each.found} for each in self.worst
            ],
            "p50_ms": round(self.p50_ms, 2),
            "p99_ms": round(self.p99_ms, 2),
        }

    @property
    def worst(self) -> list[Judged]:
        """The queries that did worst, the very worst first."""
        return sorted(self.judged, key=lambda each: (each.ndcg, each.query))[:_WORST]

    def to_table(self) -> Group:
        """For a terminal."""
        table = Table(box=None, padding=(0, 1, 0, 0))
        for column in ("ranking", "nDCG@10", "at least"):
            table.add_column(column, justify="left" if column == "ranking" else "right", no_wrap=True)
        table.add_row("SearchProducts", f"{mean_ndcg(self.judged):.3f}", f"{TARGET}")
        table.add_row("SearchProducts, of what was judged", f"{mean_ndcg_judged(self.judged):.3f}", f"{TARGET_JUDGED}")
        for name, value in self.baselines.items():
            table.add_row(f"{name} on the same database", f"{value:.3f}", "-")
        worst = Table(box=None, padding=(0, 1, 0, 0), title="Worst queries", title_justify="left")
        for column in ("query", "nDCG@10", "of judged", "found"):
            worst.add_column(column, justify="left" if column == "query" else "right", no_wrap=True)
        for each in self.worst:
            worst.add_row(each.query, f"{each.ndcg:.3f}", f"{each.ndcg_judged:.3f}", str(each.found))
        said = [
            f"{len(self.judged)} queries over {self.products:,} products; a page with facets takes {self.p50_ms:.1f} "
            f"ms (p50), {self.p99_ms:.1f} ms (p99), with no answer kept.",
            f"Nothing was found for: {', '.join(self.empty) or 'no query'}.",
        ]
        if self.unjudged:
            said.append(f"No product is good for, and so left out of the means: {', '.join(self.unjudged)}.")
        return Group(table, Text(""), worst, Text(""), *(Text(line) for line in said))


def run(products_file: Path, judgments_file: Path, progress: Callable[[str], None]) -> SearchMeasured:
    """Measure it with a server of its own, which is gone afterwards.

    Raises FileUnusable before anything is started, ServerFailed, RuntimeError and grpc's errors.
    """
    progress("reading the files")
    products = read_products(products_file)
    judgments = read_judgments(judgments_file, products)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="marketd-bench-")))
        folder.chmod(0o755)  # PostgreSQL may have to run as another user than root
        progress("starting the server")
        extra = {"MARKETD_WORKERS": "2", "MARKETD_ANSWER_CACHE_SECONDS": "0", "MARKETD_CURRENCY": _CURRENCY}
        first = start_server("server", folder, extra)
        stack.callback(first.stop)
        server = first.wait()
        postgres = EmbeddedPostgres(folder / "data" / "postgres")
        postgres.start()  # attaches to the server's
        stack.callback(postgres.stop)
        try:
            return asyncio.run(_run(server, postgres.dsn(), folder, products, judgments, progress))
        except Exception:
            for line in complaints(folder):
                progress(line)
            raise


async def _run(
    server: Running,
    dsn: str,
    folder: Path,
    products: Sequence[SearchProduct],
    judgments: Judgments,
    progress: Callable[[str], None],
) -> SearchMeasured:
    async with grpc.aio.insecure_channel(server.target) as channel:
        world = World(channel, dsn)
        environment = settings_environment(folder, {"MARKETD_DATABASE_URL": dsn})
        run_command(
            ["create-admin", "--email", world.admin_email, "--password-stdin"], environment, world.password + "\n"
        )
        keys = await load_products(world, server.target, products, _CURRENCY, progress)

        async def ask(query: str) -> Sequence[str]:
            request = catalog_service_pb2.SearchProductsRequest(query=query, page_size=_DEPTH)
            answer = await world.catalog.SearchProducts(request, timeout=CALL_SECONDS)
            return [product.product_id for product in answer.products]

        progress("searching")
        answers = {query: [keys[product_id] for product_id in await ask(query)] for query in judgments}
        judged = _judge_all(answers, judgments)
        taken = sorted([await _time(world, query) for _ in range(_ROUNDS) for query in judgments])
        progress("searching as the baselines do")
        baselines = await _baselines(dsn, keys, judgments)
        known = {each.query for each in judged}
        return SearchMeasured(
            products=len(products),
            judged=judged,
            empty=[query for query, answer in answers.items() if not answer],
            unjudged=[query for query in judgments if query not in known],
            baselines=baselines,
            p50_ms=percentile(taken, 50) / 1000,
            p99_ms=percentile(taken, 99) / 1000,
        )


def _judge_all(answers: Mapping[str, Sequence[str]], judgments: Judgments) -> list[Judged]:
    judged = [judge(query, answer, judgments[query]) for query, answer in answers.items()]
    return [each for each in judged if each is not None]


async def _time(world: World, query: str) -> int:
    """How long a page takes, in microseconds."""
    request = catalog_service_pb2.SearchProductsRequest(query=query, facets=_FACETS)
    begun = time.perf_counter_ns()
    await world.catalog.SearchProducts(request, timeout=CALL_SECONDS)
    return (time.perf_counter_ns() - begun) // 1000


async def _baselines(dsn: str, keys: Mapping[str, str], judgments: Judgments) -> dict[str, float]:
    connection = await asyncpg.connect(dsn)
    try:
        await search_baselines.prepare(connection)
        means = {}
        for name, ask in (("ilike", search_baselines.ilike), ("ts_rank", search_baselines.ts_rank)):
            answers = {query: [keys[found] for found in await ask(connection, query)] for query in judgments}
            means[name] = mean_ndcg(_judge_all(answers, judgments))
        return means
    finally:
        await connection.close()
