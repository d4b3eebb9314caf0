"""What media ask of upper slices."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.db.database import Connection


class PrivateReaders(Protocol):
    """Who may read a proof or a signature, besides its uploader and admins: the parties of what holds it."""

    async def __call__(self, connection: Connection, caller: Caller, media_id: UUID) -> bool:
        """Whether the caller, who has an account, may read the media."""
        ...
