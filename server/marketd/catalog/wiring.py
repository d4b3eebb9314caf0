"""How the catalog is put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.catalog.servicer import CACHE_TAG, MAX_IMPORT_BYTES, CatalogServicer
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.db.transactor import Committed
from marketd.kernel.slice import Parts, Slice
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
    return Slice(
        servicers=[
            CatalogServicer(
                tx=parts.tx,
                pager=parts.pager,
                currency=parts.settings.currency,
                on_change=drop,
            )
        ],
        limits={"max_import_bytes": MAX_IMPORT_BYTES},
    )
