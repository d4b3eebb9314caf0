"""What ordering and auth ask of the cart: a quote may be used once, what was ordered leaves the cart, and a cart ends
with its account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from marketd.cart import repository
from marketd.cart.errors import QuoteExpired
from marketd.cart.quotes import repository as quotes
from marketd.cart.quotes.quote import complete, requote
from marketd.cart.quotes.values import Quote, QuoteKey
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.money import Money
from marketd.promotion.ports import BuyerHistory


async def take_quote(uow: UnitOfWork, key: QuoteKey, user_id: UUID) -> Quote:
    """Use the account's quote in this transaction, and lock its cart. Raises QuoteExpired.

    The account and the shops that the quote names are held: none of them can be blocked, deleted, suspended or closed
    before this transaction ends, and whoever does it then finds the order. The quote of an account that is not active
    is of no use; whether the shops sell, the offers say, which are read after this.

    A refusal later in the transaction undoes the use; an order that is placed makes it final. What was quoted to a
    guest may lack the recipient's name or phone: they are the account's then.
    """
    payload = await quotes.take(uow.connection, key.quote_id, user_id, uow.now)
    if payload is None:
        raise QuoteExpired(key.expire_time)
    quote = Quote.from_json_text(key.quote_id, payload)
    if quote.address is None:
        return quote
    return replace(quote, address=await complete(uow, user_id, quote.address))


async def total_at(
    uow: UnitOfWork, quote: Quote, prices: Mapping[UUID, Money], user_id: UUID, history: BuyerHistory
) -> Money:
    """What the quote would come to at these prices, by variant_id, with what its promo codes take off then."""
    return Money((await requote(uow, quote, prices, user_id, history)).total_minor, quote.currency)


def take_ordered_sql(user_id: str, variant_ids: str, quantities: str, now: str) -> str:
    """SQL: the CTEs that take what was ordered out of the account's cart; pieces added since the quote stay.

    For the statement that writes the order: one of its own would be one round trip more. The arguments are places in
    it; the variants are unique. The cart's row must be locked by a statement before: `take_quote` does it, so each item
    is as that statement sees it.
    """
    return repository.take_ordered_sql(user_id, variant_ids, quantities, now)


async def owner_deleted(uow: UnitOfWork, user_id: UUID) -> None:
    """Delete the account's quotes and cart: auth's AccountEnded."""
    await quotes.delete_all(uow.connection, user_id)
    await repository.delete_cart_of(uow.connection, user_id)
