"""Naming a shop on the command line."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.db.transactor import Transactor
from marketd.seller.sellers import get_seller


async def seller_id_of(tx: Transactor, seller: str) -> UUID:
    """The id of a seller by its handle, or that id itself. Raises NotFound for a handle that nobody has."""
    with suppress(ValueError):
        return UUID(seller)
    return (await tx.read(lambda unit: get_seller(unit, SYSTEM, seller))).seller_id
