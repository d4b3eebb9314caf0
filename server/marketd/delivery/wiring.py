"""How delivery is put together."""

from __future__ import annotations

from functools import partial
from typing import Final

from marketd.auth.events import AccountDeleted
from marketd.delivery import follow_accounts, invariants, proofs
from marketd.delivery.estimate import Pace
from marketd.delivery.follow_orders import OrderFollower
from marketd.delivery.servicer import CourierServicer, DeliveryServicer
from marketd.kernel.events.watch import BEAT_SECONDS, ResumeTokens
from marketd.kernel.slice import Parts, Slice, Sweep

SERVICERS: Final = (CourierServicer, DeliveryServicer)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, beat_seconds: float = BEAT_SECONDS) -> Slice:
    """Delivery's part of a process. `beat_seconds`: after so much silence a courier's stream brings a heartbeat."""
    pace = Pace(parts.settings.courier_speed_mps)
    resume = ResumeTokens(parts.settings.derive("delivery-watches"), "delivery-watch", parts.clock)
    return Slice(
        servicers=[
            CourierServicer(tx=parts.tx, pager=parts.pager),
            DeliveryServicer(
                tx=parts.tx, pager=parts.pager, feed=parts.feed, resume=resume, pace=pace, beat_seconds=beat_seconds
            ),
        ],
        handlers=[
            *OrderFollower(pace=pace).handlers(),
            (AccountDeleted.event_type, "delivery.forget", follow_accounts.forget),
        ],
        jobs={follow_accounts.FORGET: follow_accounts.forget_more},
        sweeps=[Sweep("delivery.sweep_proofs", partial(proofs.sweep, keep=parts.settings.proof_retention))],
    )
