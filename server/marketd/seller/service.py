"""What other slices ask of seller: who a seller is, and whether it sells."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ratings import Rating
from marketd.seller import opening, repository
from marketd.seller.repository import HOLD
from marketd.seller.values import Seller


def sells_sql(seller_id: str) -> str:
    """SQL that says whether the seller whose id `seller_id` names (a column or an argument) sells; false for nobody.

    For statements of slices above that would need a second round trip else.
    """
    return f"COALESCE((SELECT o.state = 'ACTIVE' FROM sellers o WHERE o.seller_id = {seller_id}), false)"  # noqa: S608 - a column


def stopped_sql() -> str:
    """SQL that gives the `seller_id` of each shop that sold once and does not sell now: few, so that a statement over
    many products reads them once (`seller_id NOT IN (…)`) instead of asking for each product.
    """
    return "SELECT o.seller_id FROM sellers o WHERE o.state IN ('SUSPENDED', 'CLOSED')"


def owned_sql(owner_user_id: str) -> str:
    """SQL that gives the `seller_id` of each shop of the account, closed ones included. owner_user_id: an argument."""
    return f"SELECT o.seller_id FROM sellers o WHERE o.owner_user_id = {owner_user_id}"  # noqa: S608 - an argument


def hold_sql(seller_ids: str) -> str:
    """SQL that holds the sellers whose ids `seller_ids` (a query or an array in parentheses) gives, in id order, until
    the transaction ends: none of them is suspended or closed meanwhile. A statement after it says whether they sell.
    """
    return f"SELECT o.seller_id FROM sellers o WHERE o.seller_id = ANY({seller_ids}) ORDER BY o.seller_id {HOLD}"  # noqa: S608 - a query of the caller's


def shop_name_sql(seller_id: str) -> str:
    """SQL that gives the name of the shop whose id `seller_id` (a column) names."""
    return f"(SELECT o.shop_name FROM sellers o WHERE o.seller_id = {seller_id})"  # noqa: S608 - a column


async def read_seller(unit: UnitOfWork | ReadUnit, seller_id: UUID) -> Seller | None:
    """A seller in any state; None when there is none."""
    return await repository.read(unit.connection, seller_id)


def next_open(seller: Seller, now: datetime) -> datetime | None:
    """When the shop is open: `now` when it is, else when it opens next; None when it does not within a year."""
    return opening.next_open(seller, now)


async def seller_of(unit: UnitOfWork | ReadUnit, owner_user_id: UUID) -> Seller | None:
    """The account's seller that is neither closed nor rejected; None when it has none."""
    return await repository.read_by_owner(unit.connection, owner_user_id)


async def set_rating(uow: UnitOfWork, seller_id: UUID, rating: Rating) -> None:
    """Write down what buyers think of a shop; the shop's own row, which orders hold, and its etag stay."""
    await repository.set_rating(uow.connection, seller_id, rating)


async def sellers_of(unit: UnitOfWork | ReadUnit, owner_user_id: UUID) -> list[UUID]:
    """All sellers that the account has or had, closed and rejected ones too."""
    return await repository.list_of_owner(unit.connection, owner_user_id)


async def known_sellers(unit: UnitOfWork | ReadUnit, seller_ids: Collection[UUID]) -> set[UUID]:
    """Which of these ids are sellers', in any state."""
    return await repository.known(unit.connection, seller_ids) if seller_ids else set()


async def holds_account(uow: UnitOfWork, owner_user_id: UUID) -> str | None:
    """The shop of the account that is not over, for auth's AccountHolder: buyers would wait for it in vain."""
    seller = await seller_of(uow, owner_user_id)
    return None if seller is None else f"seller {seller.seller_id}"
