"""What ordering asks of the cart: a quote may be used once, and what was ordered leaves the cart."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.cart import repository
from marketd.cart.errors import QuoteExpired
from marketd.cart.quotes import repository as quotes
from marketd.cart.quotes.values import Quote, QuoteKey
from marketd.inventory.values import StockLine
from marketd.kernel.db.uow import UnitOfWork


async def take_quote(uow: UnitOfWork, key: QuoteKey, user_id: UUID) -> Quote:
    """Use the account's quote in this transaction, and lock its cart. Raises QuoteExpired.

    A refusal later in the transaction undoes the use; an order that is placed makes it final.
    """
    payload = await quotes.take(uow.connection, key.quote_id, user_id, uow.now)
    if payload is None:
        raise QuoteExpired(key.expire_time)
    return Quote.from_json_text(key.quote_id, payload)


async def take_ordered(uow: UnitOfWork, user_id: UUID, lines: Sequence[StockLine]) -> None:
    """Take what was ordered out of the account's cart; pieces added since the quote stay.

    lines: unique variant_id. The cart's row must be locked already: `take_quote` does it.
    """
    await repository.take_ordered(
        uow.connection, user_id, [line.variant_id for line in lines], [line.quantity for line in lines], uow.now
    )
