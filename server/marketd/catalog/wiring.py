"""How the catalog is put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.catalog.pictures.fetch import Fetcher
from marketd.catalog.pictures.fetching import PictureFetching
from marketd.catalog.servicer import CACHE_TAG, MAX_IMPORT_BYTES, CatalogServicer
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.db.transactor import Committed
from marketd.kernel.slice import Parts, Slice
from marketd.media.taking import taker_of
from marketd.seller.events import SellerMoved

SERVICERS: Final = (CatalogServicer,)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


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
        background=[fetching.run] if settings.fetch_pictures else [],
        limits={"max_import_bytes": MAX_IMPORT_BYTES},
    )
