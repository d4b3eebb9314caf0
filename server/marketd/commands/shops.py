"""Naming a shop on the command line."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.seller.sellers import get_seller


class NoSuchShop(Exception):
    """Nobody has this handle or id; an operator may see all, so there is no other reason."""

    def __init__(self) -> None:
        super().__init__("no shop has this handle or id; ListSellers lists the handles, such as demo-mill-lane-bakery")


async def seller_id_of(tx: Transactor, seller: str) -> UUID:
    """The id of a seller by its handle or its id. Raises NoSuchShop."""
    lookup: UUID | str = seller
    with suppress(ValueError):
        lookup = UUID(seller)
    try:
        return (await tx.read(lambda unit: get_seller(unit, SYSTEM, lookup))).seller_id
    except NotFound:
        raise NoSuchShop from None
