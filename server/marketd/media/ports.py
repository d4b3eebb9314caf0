"""What media ask of upper slices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.db.database import Connection


class PrivateReaders(Protocol):
    """Who may read a proof or a signature, besides its uploader and admins: the parties of what holds it."""

    async def __call__(self, connection: Connection, caller: Caller, media_id: UUID, /) -> bool:
        """Whether the caller, who has an account, may read the media."""
        ...


class LateHolder(Protocol):
    """What shows media that it does not hold, because it is made where every statement counts: orders.

    It is asked before a media goes, and holds then what it shows. So what an order shows does not break when the shop
    takes the picture away.
    """

    async def __call__(self, connection: Connection, media_ids: Collection[UUID]) -> Mapping[UUID, UUID]:
        """Those of the media that it shows, each with the order that shows it."""
        ...
