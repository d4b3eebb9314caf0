"""The machine: Hypothesis chooses what people do next, the marketplace does it, and the model says what must come of it.

Every answer is compared with the model's, and after every step what the database holds. `marketd check`'s whole list is
looked at every CHECK_STEPS steps.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from marketd.cart.quotes.values import QuoteKey, QuoteResult
from marketd.cart.values import PricedCart
from marketd.kernel.call.caller import Caller
from marketd.order.place import PlacedGroup
from marketd.order.values import Order

from tests.integration.machine.books import Look, cart_view, order_view, quote_view
from tests.integration.machine.model import BUYERS, VARIANTS, Owner, Quote
from tests.integration.machine.sales import OVER, Group, Sales, Sold
from tests.integration.machine.stage import Refused, Stage

CHECK_STEPS: Final = 50
T = TypeVar("T")
DICE: Final = st.integers(0, 2**24 - 1)
BUYER: Final = range(BUYERS)
VARIANT: Final = range(len(VARIANTS))
FEW: Final = (1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 7, 12, 999)
PIECES: Final = (0, 0, 1, 1, 2, 3, 999)
METHOD: Final = ("ok", "ok", "ok", "ok", "ok", "decline", "action")
WHO: Final = ("buyer", "seller", "admin")
END: Final = ("complete", "complete", "complete", "lost", "returned")
SHARE: Final = (0, 1, 30, 50, 100, 101)
DELTA: Final = (-3, -1, 1, 2, 4, 9)
PRICE: Final = (0, 1, 99, 101, 333, 1_000, 250_000)
MINUTES: Final = (1, 1, 16, 31, 61)


@dataclass(frozen=True)
class Placed:
    """The ids of a group in the database; orders and their lines stand in the model's order."""

    payment_id: UUID
    order_ids: tuple[UUID, ...]
    item_ids: tuple[tuple[UUID, ...], ...]


class Machine(RuleBasedStateMachine):
    """The rules; `run` and `stage` come from whoever starts it."""

    run: ClassVar[Callable[[Coroutine[Any, Any, Any]], Any]]
    stage: ClassVar[Stage]
    done: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.run(self.stage.again())
        self.model = Sales()
        self.placed: dict[Group, Placed] = {}
        self.keys: list[QuoteKey] = []
        self.steps = 0
        self.dice = random.Random()  # noqa: S311 - a test's

    @rule(dice=DICE)
    def step(self, dice: int) -> None:
        """Somebody does something.

        One rule with moves that are weighed by what can be done, and not a rule a move: of those Hypothesis leaves some
        out in each round, and most of this is a chain of which nothing may be left out. What is drawn is one number a
        step, so a failing round gets shorter by whole steps, and the notes say in words what it was.
        """
        self.dice = random.Random(dice)  # noqa: S311 - a test's
        moves = list(self.moves())
        (move,) = self.dice.choices([move for move, _ in moves], [weight for _, weight in moves])
        move()

    def moves(self) -> Iterable[tuple[Callable[[], None], int]]:
        """What can be done, and how likely it is."""
        model = self.model
        yield self.add, 6 if sum(len(basket.lines) for basket in model.baskets.values()) < 6 else 1
        yield self.quote, 5 if any(basket.lines for basket in model.baskets.values()) else 1
        yield self.adjust, 2
        yield self.price, 1
        yield self.later, 1
        if any(basket.lines for basket in model.baskets.values()):
            yield self.change, 2
        if self.keys:
            yield self.order, 1
        if model.groups:
            yield self.pay, 6 if any(group.waiting for group in model.groups) else 1
            yield self.cancel, 4 if self.going() else 1
            yield self.sell, 8 if self.going("PAID", "ACCEPTED") else 1
        if any(order.delivery or order.state == "READY" for order in model.orders):
            waits = any(order.state in ("READY", "OUT_FOR_DELIVERY") for order in model.orders)
            yield self.bring, 8 if waits else 1
        if any(group.captured for group in model.groups):
            yield self.refund, 2

    # -- carts

    def add(self) -> None:
        buyer, variant, pieces = self.dice.choice(BUYER), self.dice.choice(VARIANT), self.dice.choice(FEW)
        self.tell(f"buyer {buyer} adds {pieces} of variant {variant}")
        expected = self.model.add(buyer, variant, pieces)
        self.cart("add", buyer, expected, self.run(self.stage.add(self.caller(buyer), variant, pieces)))

    def change(self) -> None:
        """Another quantity of a line; 0 removes it."""
        buyer = self.dice.choice([buyer for buyer, basket in self.model.baskets.items() if basket.lines])
        variant = self.dice.choice(list(self.model.baskets[buyer].lines))
        pieces = self.dice.choice(PIECES)
        self.tell(f"buyer {buyer} sets variant {variant} to {pieces}")
        item_id = self.run(self.stage.items(self.caller(buyer)))[variant]
        if pieces:
            expected = self.model.set(buyer, variant, pieces)
            self.cart("set", buyer, expected, self.run(self.stage.set(self.caller(buyer), item_id, pieces)))
        else:
            expected = self.model.remove(buyer, variant)
            self.cart("remove", buyer, expected, self.run(self.stage.remove(self.caller(buyer), item_id)))

    # -- ordering

    def quote(self) -> None:
        """Look what it costs, and mostly order it."""
        filled = [buyer for buyer, basket in self.model.baskets.items() if basket.lines]
        buyer = self.mostly(filled, list(self.model.baskets))
        self.tell(f"buyer {buyer} asks what it costs")
        expected = self.model.quote(buyer)
        said: QuoteResult | Refused = self.run(self.stage.quote(self.caller(buyer)))
        if isinstance(expected, str) or isinstance(said, Refused):
            self.same("quote", expected, reason_of(said))
            return
        self.same("quote", expected, quote_view(self.stage, said))
        if said.expire_time is None:
            return
        self.keys.append(QuoteKey(said.quote.quote_id, said.expire_time))
        if not self.seldom():
            self.place(len(self.keys) - 1, buyer, 0)

    def order(self) -> None:
        """Order some quote of before, perhaps somebody else's, and perhaps for a total that nobody has named."""
        number = self.dice.choice(range(len(self.keys)))
        buyer = self.dice.choice(BUYER) if self.seldom() else self.model.quotes[number].owner
        self.place(number, buyer, int(self.seldom()))

    def place(self, number: int, buyer: Owner, more: int) -> None:
        quote: Quote = self.model.quotes[number]
        self.tell(f"buyer {buyer} orders quote {number}, which is for {quote.total}, for {more} more")
        total = quote.total + more
        expected = self.model.place(quote, buyer, total)
        said: PlacedGroup | Refused = self.run(self.stage.place(self.caller(buyer), self.keys[number], total))
        if isinstance(said, Refused):
            self.note("place", said.reason)
            assert said.reason in expected, f"the order was refused: {said.reason}, expected {expected or 'none'}"
            return
        self.note("place", "OK")
        assert not expected, f"the order was placed; expected {expected}"
        group = self.model.groups[-1]
        orders = sorted(said.orders, key=lambda order: order.seller_id)
        variants = self.stage.variants
        self.placed[group] = Placed(
            said.payment.payment_id,
            tuple(order.order_id for order in orders),
            tuple(
                tuple(
                    next(item.item_id for item in order.items if item.variant_id == variants[line.variant])
                    for line in sold.lines
                )
                for order, sold in zip(orders, group.orders, strict=True)
            ),
        )
        assert said.payment.amount_minor == group.amount
        for order, sold in zip(orders, group.orders, strict=True):
            self.agrees(order, sold)

    def pay(self) -> None:
        group = self.mostly([each for each in self.model.groups if each.waiting], self.model.groups)
        method = self.dice.choice(METHOD)
        self.tell(f"buyer {group.buyer} pays group {self.model.groups.index(group)} by {method}")
        expected = self.model.pay(group, method)
        said = self.run(self.stage.pay(self.caller(group.buyer), self.placed[group].payment_id, method))
        self.same("pay", expected, reason_of(said))

    def cancel(self) -> None:
        """Somebody cancels an order, or some pieces of some of its lines."""
        order = self.mostly(self.going(), self.model.orders)
        who = self.dice.choice(WHO)
        lines: dict[int, int] = {}
        for place, line in enumerate(order.lines):
            if line.left and self.dice.random() < 0.5:
                lines[place] = self.dice.randint(1, line.left + self.seldom())
        item_ids = self.placed[order.group].item_ids[order.group.orders.index(order)]
        callers = {"buyer": self.caller(order.group.buyer), "seller": self.seller(order), "admin": self.stage.admin}
        named = {item_ids[place]: pieces for place, pieces in lines.items()}
        before = order.state
        self.tell(f"the {who} cancels {lines or 'all'} of {self.told(order)}")
        expected = self.model.cancel(order, lines, who)
        said = self.run(self.stage.cancel(callers[who], self.order_id(order), named))
        self.moved("cancel part" if lines and order.state == before else "cancel", order, expected, said)

    # -- the way to the buyer

    def sell(self) -> None:
        """The seller's next step with an order."""
        order = self.mostly(self.going("PAID", "ACCEPTED"), self.model.orders)
        order_id = self.order_id(order)
        self.tell(f"the seller does something with {self.told(order)}")
        if self.seldom():
            expected = self.model.reject(order)
            self.moved("reject", order, expected, self.run(self.stage.reject(order.shop, order_id)))
        elif order.state == "PAID" or self.seldom():
            expected = self.model.accept(order)
            self.moved("accept", order, expected, self.run(self.stage.accept(order.shop, order_id)))
        else:
            expected = self.model.ready(order)
            self.moved("ready", order, expected, self.run(self.stage.ready(order.shop, order_id)))

    def bring(self) -> None:
        """The courier's next step with an order."""
        if any(order.state == "READY" and not order.delivery for order in self.model.orders):
            self.work()
        orders = [order for order in self.model.orders if order.delivery]
        if not orders:
            return
        order = self.mostly([each for each in orders if each.delivery != "CLOSED"], orders)
        delivery_id = self.run(self.stage.delivery_of(self.order_id(order)))
        end = self.dice.choice(END)
        step = {"CREATED": "assign", "ASSIGNED": "pick_up"}.get(order.delivery, end)
        self.tell(f"the courier: {step} of {self.told(order)}")
        model, stage = self.model, self.stage
        if step in ("lost", "returned"):
            expected = model.fail(order, comes_back=step == "returned")
            said = self.run(stage.fail(delivery_id, comes_back=step == "returned"))
        elif step == "complete":
            expected, said = model.complete(order), self.run(stage.complete(delivery_id))
        else:
            expected = getattr(model, step)(order)
            said = self.run(getattr(stage, step)(delivery_id))
        self.same(step, expected, reason_of(said))

    def refund(self) -> None:
        """Money goes back: so many percent of what is left of an order, for 0 all; or everything of its group."""
        orders = [order for order in self.model.orders if order.group.captured]
        order = self.mostly([each for each in orders if each.refundable], orders)
        who, share = self.dice.choice(("seller", "admin", "group")), self.dice.choice(SHARE)
        amount = max(1, (order.refundable * share + 99) // 100) if share and who != "group" else None
        caller = self.seller(order) if who == "seller" else self.stage.admin
        payment_id = self.placed[order.group].payment_id
        self.tell(f"{who} gives {amount or 'all'} back of {self.told(order)}")
        expected = self.model.refund(order.group, None if who == "group" else order, amount)
        order_id = None if who == "group" else self.order_id(order)
        said = self.run(self.stage.refund(caller, payment_id, order_id, amount))
        self.same("refund", expected, reason_of(said))

    # -- goods and time

    def adjust(self) -> None:
        """The seller puts some in, or takes some out; mostly of what is short."""
        variants = range(len(VARIANTS))
        short = [variant for variant in variants if self.model.stock[variant].available < 4]
        variant, delta = self.mostly(short, variants), self.dice.choice(DELTA)
        self.tell(f"{delta:+} of variant {variant}")
        expected = self.model.adjust(variant, delta)
        self.same("adjust", expected, reason_of(self.run(self.stage.adjust(variant, delta))))

    def price(self) -> None:
        variant, price = self.dice.choice(VARIANT), self.dice.choice(PRICE)
        self.tell(f"variant {variant} costs {price}")
        self.model.price(variant, price)
        self.run(self.stage.set_price(self.stage.variants[variant], price))

    def later(self) -> None:
        """Time goes by, and jobs do what is due."""
        minutes = self.dice.choice(MINUTES)
        self.tell(f"{minutes} minutes later")
        self.model.later(minutes)
        self.stage.later(minutes)
        self.work()

    def work(self) -> None:
        """Jobs that are due run, and events are handed on."""
        self.model.work()
        self.run(self.stage.settle())

    # -- what must hold

    @invariant()
    def is_as_the_model_says(self) -> None:
        """A cheap look at everything after each step, and now and then at the whole list."""
        look: Look = self.run(self.stage.look())
        look.assert_is(self.stage, self.model, [self.placed[group] for group in self.model.groups])
        self.steps += 1
        if self.steps % CHECK_STEPS == 0:
            self.work()
            violations = self.run(self.stage.built.violations())
            assert not violations, violations

    # -- in short

    def caller(self, buyer: Owner) -> Caller:
        return self.stage.buyers[buyer]

    def seller(self, order: Sold) -> Caller:
        return self.stage.shops[order.shop].caller

    def order_id(self, order: Sold) -> UUID:
        return self.placed[order.group].order_ids[order.group.orders.index(order)]

    def told(self, order: Sold) -> str:
        """The order in words."""
        lines = ", ".join(f"{line.left} of {line.pieces} at {line.price}" for line in order.lines)
        return f"order {self.model.orders.index(order)}, {order.state} ({lines}; {order.due - order.reserved} left)"

    def going(self, *states: str) -> list[Sold]:
        """The orders in one of these states; those that are not over when none is named."""
        return [
            order for order in self.model.orders if (order.state in states if states else order.state not in OVER)
        ]

    def seldom(self) -> bool:
        """Once in eight times."""
        return self.dice.random() < 1 / 8

    def mostly(self, likely: Sequence[T], every: Sequence[T]) -> T:
        """One of the likely ones, and now and then any."""
        return self.dice.choice(likely if likely and not self.seldom() else every)

    def cart(self, rule_name: str, owner: Owner, expected: str, said: PricedCart | Refused) -> None:
        self.same(rule_name, expected, reason_of(said))
        if not isinstance(said, Refused):
            assert cart_view(self.stage, said) == self.model.shown(owner)

    def moved(self, rule_name: str, sold: Sold, expected: str, said: Order | Refused) -> None:
        self.same(rule_name, expected, reason_of(said))
        if not isinstance(said, Refused):
            self.agrees(said, sold)

    def agrees(self, order: Order, sold: Sold) -> None:
        assert order_view(self.stage, order) == sold.view()

    def same(self, rule_name: str, expected: object, said: object) -> None:
        self.note(rule_name, said if isinstance(said, str) else "OK")
        assert said == expected, f"{rule_name}: {said}, expected {expected}"

    def tell(self, words: str) -> None:
        """For whoever reads of a round that failed."""
        note(f"{self.steps}. {words}")

    def note(self, rule_name: str, outcome: str) -> None:
        self.done[f"{rule_name} {outcome}"] += 1
        note(f"  {rule_name}: {outcome}")


def reason_of(said: object) -> str:
    """The reason of a refusal, or `OK`."""
    return said.reason if isinstance(said, Refused) else "OK"
