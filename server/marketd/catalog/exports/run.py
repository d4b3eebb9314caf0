"""Exporting a shop: read batch by batch, written piece by piece as fast as whoever asked takes it.

Nothing but the batch at hand is in memory, and no connection is held while a piece waits to be taken. Each product
comes once, whole, as it was when its batch was read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from typing import Final, TypeAlias

from marketd.catalog.exports import repository
from marketd.catalog.exports.rows import COLUMNS, fits, line, rows_of
from marketd.catalog.exports.values import ExportedProduct, ExportHeader, ExportOptions, ExportSummary
from marketd.catalog.owners import seller_for
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit

CHUNK_BYTES: Final = 64 * 1024
BATCH: Final = 50
BATCH_VARIANTS: Final = 500
_MOST_HANDLES = 100

ExportEvent: TypeAlias = ExportHeader | bytes | ExportSummary


async def export_products(tx: Transactor, caller: Caller, options: ExportOptions) -> AsyncGenerator[ExportEvent, None]:
    """The products of the caller's seller (an admin's or SYSTEM's `options.seller_id`) as a Shopify CSV: what comes,
    pieces of at most CHUNK_BYTES, and what the file held.

    Close it (aclosing) when it is left early. Raises NotFound and ValidationFailed before anything is given.
    """
    seller = await tx.read(lambda unit: seller_for(unit, caller, options.seller_id, "seller_id"))
    today = await tx.read(_today)
    yield ExportHeader(f"products-{seller.handle}-{today}.csv", COLUMNS)
    file = _File()
    file.write(line(list(COLUMNS)))
    after: ExportedProduct | None = None
    while True:
        previous = after

        async def batch(unit: ReadUnit, previous: ExportedProduct | None = previous) -> list[ExportedProduct]:
            return await repository.read_batch(
                unit.connection,
                seller.seller_id,
                options.states,
                previous,
                products=BATCH,
                variants=BATCH_VARIANTS,
            )

        products = await tx.read(batch)
        if not products:
            break
        for product in products:
            file.add(product)
            for chunk in file.pieces():
                yield chunk
            # A product may have hundreds of rows; others have their turn between two.
            await asyncio.sleep(0)
        after = products[-1]
    for chunk in file.pieces(last=True):
        yield chunk
    yield file.summary()


async def _today(unit: ReadUnit) -> str:
    return unit.now.date().isoformat()


class _File:
    """The file as it grows: what of it has not been taken yet, and what it held so far."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._digest = hashlib.sha256()
        self._size = self._products = self._variants = self._images = self._rows = 0
        self._variants_left_out = self._products_left_out = 0
        self._left_out: list[str] = []

    def add(self, product: ExportedProduct) -> None:
        """Write a product, or count it as left out."""
        if not fits(product):
            self._products_left_out += 1
            if len(self._left_out) < _MOST_HANDLES:
                self._left_out.append(product.handle)
            return
        for row in rows_of(product):
            self._rows += 1
            self.write(line(row))
        self._products += 1
        self._variants += len(product.variants)
        self._variants_left_out += product.variants_left_out
        self._images += len(product.images)

    def write(self, text: str) -> None:
        """The next line."""
        self._waiting += text.encode()

    def pieces(self, *, last: bool = False) -> list[bytes]:
        """What can be taken now: whole chunks, and with `last` the rest."""
        whole = len(self._waiting) - len(self._waiting) % CHUNK_BYTES
        end = len(self._waiting) if last else whole
        found = [bytes(self._waiting[start : min(start + CHUNK_BYTES, end)]) for start in range(0, end, CHUNK_BYTES)]
        del self._waiting[:end]
        for chunk in found:
            self._digest.update(chunk)
            self._size += len(chunk)
        return found

    def summary(self) -> ExportSummary:
        """What the file held, once all of it was taken."""
        return ExportSummary(
            products=self._products,
            variants=self._variants,
            images=self._images,
            rows=self._rows,
            size=self._size,
            sha256=self._digest.hexdigest(),
            variants_left_out=self._variants_left_out,
            products_left_out=self._products_left_out,
            left_out_handles=tuple(self._left_out),
        )
