"""How inventory is put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.inventory import invariants
from marketd.inventory.places import PlaceTokens
from marketd.inventory.servicer import InventoryServicer
from marketd.kernel.slice import Parts, Slice

SERVICERS: Final = (InventoryServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, shown_under: str) -> Slice:
    """Inventory's part of a process. `shown_under`: the tag of the kept answers that show stock."""
    return Slice(
        servicers=[
            InventoryServicer(
                tx=parts.tx,
                pager=parts.pager,
                feed=parts.feed,
                resume=PlaceTokens(parts.settings.derive("stock-watches"), parts.clock),
                on_change=partial(parts.drop_answers, shown_under),
            )
        ]
    )
