"""Moves of everybody with what was ordered: paying, cancelling, preparing, bringing, giving money back; goods, time."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.model import VARIANTS
from tests.integration.machine.table import Table, reason_of

METHOD: Final = ("ok", "ok", "ok", "ok", "ok", "decline", "action")
WHO: Final = ("buyer", "seller", "admin")
END: Final = ("complete", "complete", "complete", "lost", "returned")
SHARE: Final = (0, 1, 30, 50, 100, 101)
DELTA: Final = (-3, 1, 2, 4, 9, 9)
PRICE: Final = (0, 1, 99, 101, 333, 1_000, 250_000)
MINUTES: Final = (1, 16, 31, 31, 61)


class Selling(Table):
    """What happens to orders."""

    def pay(self) -> None:
        group = self.mostly([each for each in self.model.groups if each.waiting], self.model.groups)
        method = self.dice.choice(METHOD)
        self.tell(f"buyer {group.buyer} pays group {self.model.groups.index(group)} by {method}")
        expected = self.model.pay(group, method)
        said = self.run(self.stage.pay(self.stage.caller(group.buyer), self.placed[group].payment_id, method))
        self.same("pay", expected, reason_of(said))

    def cancel(self) -> None:
        """Somebody cancels an order, or some pieces of some of its lines."""
        order = self.mostly(self.going(), self.model.orders)
        who = self.dice.choice(WHO)
        lines: dict[int, int] = {}
        for place, line in enumerate(order.lines):
            if line.left and self.dice.random() < 0.5:
                lines[place] = self.dice.randint(1, line.left + self.seldom())
        callers = {
            "buyer": self.stage.caller(order.group.buyer),
            "seller": self.seller(order),
            "admin": self.stage.admin,
        }
        named = {self.item_id(order, place): pieces for place, pieces in lines.items()}
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
        variant, price = self.dice.choice(range(len(VARIANTS))), self.dice.choice(PRICE)
        self.tell(f"variant {variant} costs {price}")
        self.model.price(variant, price)
        self.run(self.stage.set_price(self.stage.goods[variant], price))

    def later(self) -> None:
        """Time goes by, and jobs do what is due."""
        minutes = self.dice.choice(MINUTES)
        self.tell(f"{minutes} minutes later")
        self.work()
        self.model.later(minutes)
        self.stage.later(minutes)
        self.work()
