"""How seller is put together."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from marketd.kernel.slice import Parts, Slice
from marketd.seller import invariants
from marketd.seller.ports import SellerHolder
from marketd.seller.servicer import SellerServicer

SERVICERS: Final = (SellerServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, holders: Collection[SellerHolder] = ()) -> Slice:
    """Seller's part of a process. `holders` say what keeps a seller from being closed."""
    default_prep_duration = timedelta(minutes=parts.settings.default_prep_minutes)
    return Slice(
        servicers=[
            SellerServicer(
                tx=parts.tx,
                pager=parts.pager,
                default_prep_duration=default_prep_duration,
                media_url=parts.settings.media_url,
                holders=holders,
            )
        ]
    )
