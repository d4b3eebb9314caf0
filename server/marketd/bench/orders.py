"""PlaceOrder: three lines of two shops with a promo code, with carts and quotes made beforehand."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

from marketplace.cart.v1 import cart_service_pb2
from marketplace.order.v1 import order_service_pb2

from marketd.bench import statements
from marketd.bench.carts import fill_carts
from marketd.bench.operations import CONNECTIONS, IN_FLIGHT, Plain, Round, Side, Target, capture, expect, path_on, split
from marketd.bench.plan import Argument, Arguments, FloorMethod, Shape
from marketd.bench.work import Calls, Found, Work
from marketd.bench.world import CALL_SECONDS, Account, World, address, bearer, gather

_PATH = "/marketplace.order.v1.OrderService/PlaceOrder"
_ORDERS_A_SECOND = 150


async def quoted(world: World, buyers: Sequence[Account]) -> list[bytes]:
    """A PlaceOrder request for each buyer, of a cart that is filled, given the promo code and quoted for it."""
    await fill_carts(world, buyers)
    codes = await world.promo_codes()

    async def quote(numbered: tuple[int, Account]) -> bytes:
        index, buyer = numbered
        apply = cart_service_pb2.ApplyPromoCodeRequest(code=codes[index % len(codes)].code)
        await world.cart.ApplyPromoCode(apply, metadata=bearer(buyer), timeout=CALL_SECONDS)
        request = cart_service_pb2.QuoteOrderRequest(address=address(52.55, 13.45))
        answer = await world.cart.QuoteOrder(request, metadata=bearer(buyer), timeout=CALL_SECONDS)
        if answer.problems or not answer.promotions:
            raise RuntimeError(f"a quote has problems: {answer.problems}")
        return order_service_pb2.PlaceOrderRequest(
            request_id=str(uuid.uuid4()),
            quote_token=answer.quote_token,
            expected_total=answer.total,
            payment_provider="sandbox",
        ).SerializeToString()

    return await gather(quote, enumerate(buyers))


class PlaceOrder(Plain):
    """Orders as fast as they can be placed, each from a quote of its own."""

    name = "place_order"
    target = Target(tuned=2.0)
    note = "the relay's work on the events is counted"
    settles = True

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Place one order to see its answer."""
        await world.open_shops()
        self._placed = 0
        self._count = max(2 * IN_FLIGHT, int(size.seconds * _ORDERS_A_SECOND))
        self._buyers = await world.buyers(self._count)
        (request,) = await quoted(world, self._buyers[:1])
        answer = await capture(world, _PATH, request, self._buyers[0])
        placed = order_service_pb2.PlaceOrderResponse.FromString(answer).order_group
        if len(placed.orders) != 2 or sum(len(order.items) for order in placed.orders) != 3:
            raise RuntimeError(f"{len(placed.orders)} orders were placed where two were due")
        # Every cart has its lines when the floors' copies are made.
        self._requests = await quoted(world, self._buyers)
        self._quotes = [str(uuid.uuid4()) for _ in self._buyers]
        self._codes = [code.promo_code_id for code in await world.promo_codes()]
        self._floor = FloorMethod(
            self.name,
            Shape.UNARY,
            answer,
            statements=statements.PLACE_ORDER,
            call_arguments=[
                _arguments(world, index, buyer, quote_id, self._codes[index % len(self._codes)], answer)
                for index, (buyer, quote_id) in enumerate(zip(self._buyers, self._quotes, strict=True))
            ],
            transaction=True,
        )
        return [self._floor]

    async def copied(self, world: World) -> None:
        """A quote for each buyer."""
        payload = json.dumps({"lines": [_payload()] * 3, "address": _payload()})
        rows = [(quote, buyer.user_id, payload) for quote, buyer in zip(self._quotes, self._buyers, strict=True)]
        await world.execute(statements.QUOTE, rows)

    async def begin(self, world: World) -> None:
        """Fresh tokens."""
        self._buyers = await world.buyers(self._count)
        self._before = await self._orders(world)

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work]:
        """New quotes for the server, each placed once; a floor takes the same requests again and again."""
        seconds = size.seconds if side.is_floor else None
        if not side.is_floor:
            # A warm-up round is shorter and takes fewer.
            count = min(self._count, max(IN_FLIGHT, int(size.seconds * _ORDERS_A_SECOND)))
            self._requests = await quoted(world, self._buyers[:count])
        tokens = [buyer.access_token for buyer in self._buyers]
        turns = list(zip(tokens, self._requests, strict=False))
        path = path_on(side, _PATH, self._floor)
        return [Calls(side.target, path, part, IN_FLIGHT, CONNECTIONS, seconds) for part in split(turns, processes)]

    def absorb(self, side: Side, found: Found) -> None:
        """Each call was one group of orders."""
        if not side.is_floor:
            self._placed += found.count

    async def verify(self, world: World) -> None:
        """Every group is there, and has used a code."""
        expect(self.name, await self._orders(world), self._before + self._placed)
        statement = "SELECT sum(usage_count)::int FROM promo_codes WHERE promo_code_id = ANY($1::uuid[])"
        expect(self.name, await world.read(statement, self._codes), self._before + self._placed)

    async def _orders(self, world: World) -> int:
        statement = "SELECT count(*)::int FROM order_groups WHERE buyer_id = ANY($1::uuid[])"
        found = await world.read(statement, [buyer.user_id for buyer in self._buyers])
        return found if isinstance(found, int) else 0


def _payload() -> dict[str, str]:
    return {"title": "Oak shelf no. 001", "sku": "OAK-0-001-small", "text": "x" * 120}


def _arguments(world: World, index: int, buyer: Account, quote_id: str, promo_code_id: str, answer: bytes) -> Arguments:
    group, first, second, payment, request = ({"new": number} for number in range(5))
    variants = sorted(world.lines(index))
    sellers = [world.products[0].seller_id, world.products[-1].seller_id]
    text = json.dumps(_payload())
    # An array takes new ids as its members do: the floor replaces them one by one.
    orders: list[Argument] = [first, second]
    items: list[Argument] = [first, first, second]
    kept = "\\x" + answer.hex()
    return [
        [quote_id, buyer.user_id],
        [variants, [1, 1, 1]],
        [group, buyer.user_id, quote_id, payment],
        [group, buyer.user_id, orders, sellers, text],
        [items, variants],
        [payment, group, buyer.user_id],
        [buyer.user_id, variants],
        [promo_code_id],
        [promo_code_id, buyer.user_id],
        [group, promo_code_id, buyer.user_id],
        [orders, text],
        [text],
        [buyer.user_id, request, "\\x" + "00" * 32, kept],
    ]
