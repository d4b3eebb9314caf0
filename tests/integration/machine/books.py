"""What the marketplace says and what its database holds, in the model's words, so that the two can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self
from uuid import UUID

from marketd.cart.quotes.values import QuoteResult
from marketd.cart.values import PricedCart
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.database import Connection
from marketd.order.values import Order

from tests.integration.machine.model import Package, Quoted, QuotedLine, ShownCart, tax_of
from tests.integration.machine.ratings import Ratings
from tests.integration.machine.sold import OrderView
from tests.worlds.goods import Shop

_LOOK: Final = """
SELECT json_build_object(
  'stocks', (SELECT json_object_agg(variant_id, json_build_array(on_hand, reserved)) FROM stocks),
  'orders', (SELECT json_object_agg(order_id, json_build_array(state, due_minor, refund_reserved_minor,
      refunded_amount_minor)) FROM orders),
  'payments', (SELECT json_object_agg(payment_id, json_build_array(state, amount_minor, captured_amount_minor,
      refund_reserved_minor, refunded_amount_minor)) FROM payments),
  'codes', (SELECT json_object_agg(promo_code_id, usage_count) FROM promo_codes),
  'uses', (SELECT json_object_agg(promo_code_id || ' ' || user_id, count) FROM promo_uses WHERE count > 0),
  'ratings', (SELECT json_object_agg(kind || ' ' || subject_id, counts) FROM rating_summaries WHERE 0 < ANY (counts))
)::text
"""


class Names(Protocol):
    """Who knows the ids of what the model has numbers for."""

    buyers: list[Caller]
    shops: list[Shop]
    goods: list[UUID]
    products: list[UUID]
    codes: list[UUID]
    courier_id: UUID


class Ids(Protocol):
    """The ids of one of the model's groups."""

    @property
    def payment_id(self) -> UUID: ...
    @property
    def order_ids(self) -> tuple[UUID, ...]: ...


@dataclass(frozen=True)
class Look:
    """What the database holds."""

    found: Mapping[str, Any]

    @classmethod
    async def take(cls, connection: Connection) -> Self:
        """Look at everything in one statement."""
        return cls(json.loads(await connection.fetchval(_LOOK)))

    def assert_is(self, names: Names, model: Ratings, groups: Sequence[Ids]) -> None:
        """It is what the model has."""
        stocks = {
            str(variant_id): [stock.on_hand, stock.reserved]
            for variant_id, stock in zip(names.goods, model.stock, strict=True)
        }
        assert self.found["stocks"] == stocks
        orders = {
            str(order_id): [order.state, order.due, order.reserved, order.refunded]
            for group, ids in zip(model.groups, groups, strict=True)
            for order, order_id in zip(group.orders, ids.order_ids, strict=True)
        }
        assert (self.found["orders"] or {}) == orders
        payments = {
            str(ids.payment_id): [group.payment, group.amount, group.captured, group.reserved, group.refunded]
            for group, ids in zip(model.groups, groups, strict=True)
        }
        assert (self.found["payments"] or {}) == payments
        codes = dict(zip(map(str, names.codes), model.codes, strict=True))
        assert (self.found["codes"] or {}) == {code_id: code.used for code_id, code in codes.items()}
        assert (self.found["uses"] or {}) == {
            f"{code_id} {names.buyers[buyer].user_id}": count
            for code_id, code in codes.items()
            for buyer, count in code.uses.items()
            if count
        }
        subjects = {
            "PRODUCT": names.products,
            "SELLER": [shop.seller_id for shop in names.shops],
            "COURIER": [names.courier_id],
        }
        assert (self.found["ratings"] or {}) == {
            f"{kind} {subjects[kind][number]}": counts for (kind, number), counts in model.sums().items()
        }


def cart_view(names: Names, cart: PricedCart) -> ShownCart:
    """The cart as Shelves.shown has it."""
    assert cart.subtotal.amount_minor == sum(item.line_total.amount_minor for item in cart.items)
    lines = {
        names.goods.index(item.item.variant_id): (
            item.item.quantity,
            item.unit_price.amount_minor,
            tuple(problem.kind.value for problem in item.problems),
        )
        for item in cart.items
    }
    off = {names.goods.index(variant_id): off for variant_id, off in cart.evaluation.line_discounts.items()}
    problems = {
        names.codes.index(problem.promo_code_id): problem.reason.value
        for problem in cart.evaluation.problems
        if problem.promo_code_id is not None
    }
    return lines, off, problems


def quote_view(names: Names, said: QuoteResult) -> Quoted:
    """The quote as Shelves.quote has it; its sums are those of its parts."""
    shops = [shop.seller_id for shop in names.shops]
    packages = []
    for package in said.quote.packages:
        lines = tuple(
            QuotedLine(
                names.goods.index(line.variant_id), line.quantity, line.unit_price_minor, line.discount_amount_minor
            )
            for line in package.lines
        )
        shown = Package(
            shops.index(package.seller_id), lines, package.delivery_fee_minor, package.delivery_discount_amount_minor
        )
        assert (package.total_minor, package.tax_amount_minor) == (shown.total, shown.tax)
        assert [line.tax_amount_minor for line in package.lines] == [tax_of(line.worth) for line in lines]
        packages.append(shown)
    assert said.quote.total_minor == sum(package.total for package in packages)
    problems = tuple(sorted(problem.kind.value for problem in said.problems))
    return Quoted(tuple(packages), problems, said.expire_time is not None)


def order_view(names: Names, order: Order) -> OrderView:
    """The order as Sold.view has it."""
    lines = tuple(
        (
            names.goods.index(item.variant_id),
            item.quantity,
            item.cancelled_quantity,
            item.unit_price_minor,
            item.discount_amount_minor,
        )
        for item in order.items
    )
    money = (
        order.total_minor,
        order.due_minor,
        order.refund_reserved_minor,
        order.refunded_amount_minor,
        order.cancelled_amount_minor,
    )
    standing = {
        names.codes.index(each.promotion.promo_code_id): (
            each.discount_amount_minor,
            each.delivery_discount_amount_minor,
        )
        for each in order.standing_discounts
    }
    return order.state.value, money, lines, standing
