"""How media are put together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from marketd.kernel.slice import Parts, Slice, Sweep
from marketd.media import invariants
from marketd.media.delete import REMOVE_FILES, file_remover, sweep_files, sweep_unheld
from marketd.media.ports import LateHolder, PrivateReaders
from marketd.media.servicer import MAX_INLINE_BYTES, MediaServicer
from marketd.media.taking import taker_of

SERVICERS: Final = (MediaServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, readers: Sequence[PrivateReaders] = (), late_holders: Sequence[LateHolder] = ()) -> Slice:
    """Media's part of a process. `readers` say who may read proofs and signatures, `late_holders` what is shown without
    being held. Raises StoreUnfit.
    """
    settings, taker = parts.settings, taker_of(parts)
    return Slice(
        servicers=[
            MediaServicer(
                tx=parts.tx,
                pager=parts.pager,
                taker=taker,
                readers=readers,
                late_holders=late_holders,
                media_url=settings.media_url,
            )
        ],
        outside_jobs={REMOVE_FILES: file_remover(parts.tx, taker.store)},
        sweeps=[
            Sweep(
                "media.sweep", partial(sweep_unheld, lifetime=settings.unheld_media_lifetime, late_holders=late_holders)
            ),
            Sweep("media.sweep_files", sweep_files),
        ],
        starts=[taker.store.check],
        tasks=[taker.pool.run],
        limits={"max_media_bytes": settings.max_media_bytes, "max_inline_bytes": MAX_INLINE_BYTES},
    )
