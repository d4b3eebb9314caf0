"""What promotions ask of slices above them; app.py wires them."""

from __future__ import annotations

from typing import Protocol, TypeAlias
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.promotion.values import Basket

Unit: TypeAlias = UnitOfWork | ReadUnit


class BuyerHistory(Protocol):
    """Knows what an account has ordered; order implements it."""

    async def __call__(self, unit: Unit, user_id: UUID, besides: UUID | None, /) -> bool:
        """Whether the account has an order that stands (not CANCELLED, REJECTED or EXPIRED) outside of the group
        `besides`.
        """
        ...


class CallersCart(Protocol):
    """Knows the cart of whoever calls; cart implements it."""

    async def __call__(self, unit: Unit, caller: Caller, /) -> Basket:
        """What is on the caller's cart that can be bought, and the codes on it; nothing of one that never held
        anything.
        """
        ...
