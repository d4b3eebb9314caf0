"""Files to import, and a shop that imports them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from marketd.catalog.imports import run
from marketd.catalog.imports.values import ImportEvent, ImportOptions, ImportReport
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.db.uow import ReadUnit
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import export_pb2, product_pb2

from tests.worlds.catalog import Seller

CONTEXT: Any = None  # no method here looks at it


COLUMNS = [
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name", "Option1 Value",
    "Variant SKU", "Variant Inventory Qty", "Variant Price", "Variant Compare At Price", "Image Src", "Image Alt Text",
    "Variant Image", "Variant Inventory Tracker", "Variant Inventory Policy", "Status", "Gift Card",
    "Variant Requires Shipping", "Variant Grams",
]  # fmt: skip
UPDATE = ImportOptions(update_existing=True)


def file(*rows: dict[str, str]) -> bytes:
    """A file with these cells."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def cup(**cells: str) -> dict[str, str]:
    """A row of a product; keys are column names without spaces."""
    names = {name.replace(" ", ""): name for name in COLUMNS}
    base = {"Handle": "cup", "Title": "Cup", "Variant Price": "4.50", "Variant Inventory Qty": "3"}
    base["Variant Inventory Tracker"] = "shop"
    return base | {names[name]: value for name, value in cells.items()}


def size(value: str, **cells: str) -> dict[str, str]:
    """A row with a size."""
    return cup(Option1Name="Size", Option1Value=value, **cells)


async def _fetch(unit: ReadUnit, statement: str) -> list[Any]:
    return await unit.connection.fetch(statement)


@dataclass(frozen=True)
class Exported:
    """An export as it came."""

    header: export_pb2.ExportHeader
    chunks: list[bytes]
    summary: export_pb2.ExportSummary

    @property
    def data(self) -> bytes:
        """The whole file."""
        return b"".join(self.chunks)


class Shop(Seller):
    """A seller that imports."""

    async def bring(self, data: bytes, options: ImportOptions = ImportOptions()) -> ImportReport:  # noqa: B008 - frozen
        """Import a file."""
        return await run.import_products(self.tx, self.owner, data, options, currency="EUR", on_change=self.on_change)

    async def follow(
        self,
        data: bytes,
        hear: Callable[[ImportEvent], object],
        options: ImportOptions = ImportOptions(),  # noqa: B008 - frozen
    ) -> None:
        """Import a file and hear each thing that is told; what `hear` raises leaves the import there."""
        events = run.run_import(
            self.tx, self.seller_id, io.BytesIO(data), options, currency="EUR", on_change=self.on_change
        )
        async with aclosing(events):
            async for event in events:
                hear(event)

    def enter(self, once: OnceKey | None = None) -> Call:
        """Call as the owner."""
        call = Call(caller=self.owner, once=once)
        calls.enter(call)
        return call

    async def export(self, *states: product_pb2.ProductState.ValueType) -> Exported:
        """The shop's file, as its owner gets it."""
        self.enter()
        request = pb.ExportProductsRequest(seller_id=str(self.seller_id), states=states)
        stream = self.catalog.ExportProducts(request, CONTEXT)
        header, *chunks, summary = [message async for message in stream]
        return Exported(header.header, [message.chunk for message in chunks], summary.summary)

    async def product(self, slug: str) -> product_pb2.Product:
        """A product as the owner sees it."""
        self.enter()
        return (await self.catalog.GetProduct(pb.GetProductRequest(slug=slug), CONTEXT)).product

    async def rows(self) -> list[tuple[Any, ...]]:
        """Everything that an import writes, to be compared."""
        tables = ("products", "variants", "product_images", "brands", "categories", "stocks", "stock_movements")
        found: list[tuple[Any, ...]] = []
        for table in tables:
            statement = f"SELECT t::text FROM {table} t ORDER BY 1"
            rows = await self.tx.read(partial(_fetch, statement=statement))
            found += [(table, row[0]) for row in rows]
        return found


def outcome(report: ImportReport) -> tuple[int, int, int, int]:
    """How many products were created, updated, left unchanged and rejected."""
    summary = report.summary
    return (
        summary.products_created,
        summary.products_updated,
        summary.products_unchanged,
        summary.products_rejected,
    )
