"""How the catalog is put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.catalog.pictures.fetch import Fetcher
from marketd.catalog.pictures.fetching import PictureFetching
from marketd.catalog.search import invariants, sales
from marketd.catalog.search.drain import Drain
from marketd.catalog.search.follow import stock_moved
from marketd.catalog.search.start import start
from marketd.catalog.servicer import CACHE_TAG, MAX_IMPORT_BYTES, CatalogServicer
from marketd.inventory.events import StockCameBack, StockRanOut
from marketd.kernel.db.transactor import Committed
from marketd.kernel.slice import Parts, Slice, Sweep
from marketd.media.taking import taker_of
from marketd.seller.events import SellerMoved

SERVICERS: Final = (CatalogServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts) -> Slice:
    """The catalog's part of a process. Kept answers go with each commit that changes whether a seller sells."""
    drop = partial(parts.drop_answers, CACHE_TAG)

    def seller_moved(committed: Committed) -> None:
        if any(isinstance(event, SellerMoved) for event in committed.events):
            drop()

    parts.tx.listen(seller_moved)
    settings = parts.settings
    fetcher = Fetcher(allowed=settings.fetch_networks, max_bytes=settings.max_media_bytes)
    fetching = PictureFetching(parts.tx, fetcher, taker_of(parts), drop)
    drain = Drain(parts.tx, parts.settings.lease, drop)
    return Slice(
        servicers=[
            CatalogServicer(
                tx=parts.tx,
                pager=parts.pager,
                currency=settings.currency,
                media_url=settings.media_url,
                on_change=drop,
            )
        ],
        handlers=[
            (StockCameBack.event_type, "catalog.stock_came_back", stock_moved),
            (StockRanOut.event_type, "catalog.stock_ran_out", stock_moved),
        ],
        sweeps=[Sweep("search.age", sales.age)],
        starts=[partial(start, parts.tx, parts.settings.search_language)],
        background=[drain.run, *([fetching.run] if settings.fetch_pictures else [])],
        limits={"max_import_bytes": MAX_IMPORT_BYTES},
    )
