"""Moves of buyers and guests: carts, promo codes, quotes and orders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from typing import Final

from marketd.cart.merge import MergedCart
from marketd.cart.quotes.values import QuoteKey, QuoteResult
from marketd.order.place import PlacedGroup

from tests.integration.machine.books import cart_view, quote_view
from tests.integration.machine.model import BUYERS, SHOPS, VARIANTS, Owner, Quote
from tests.integration.machine.promos import KINDS, Code
from tests.integration.machine.stage import Refused
from tests.integration.machine.table import Placed, Table, reason_of

BUYER: Final = range(BUYERS)
VARIANT: Final = range(len(VARIANTS))
FEW: Final = (1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 7, 12, 999)
MANY: Final = (1, 2, 5, 997, 998, 999)
PIECES: Final = (0, 0, 1, 1, 2, 3, 999)
STRATEGY: Final = ("SUM", "SUM", "SUM", "KEEP_MAX", "PREFER_GUEST", "PREFER_USER")
PERCENT: Final = (Fraction(1, 10_000), Fraction(10), Fraction(1_667, 100), Fraction(50), Fraction(100))
AMOUNT: Final = (1, 99, 500, 3_000, 10_000_000)
MOST_GUESTS: Final = 6


class Shopping(Table):
    """What people do before they pay."""

    # -- carts

    def add(self) -> None:
        owner = self.owner()
        bought = [variant for buyer in BUYER for variant in self.model.baskets[buyer].lines]
        # A guest's cart is mostly like somebody's, so that merging them is worth it.
        variant = self.mostly(bought, VARIANT) if owner < 0 else self.dice.choice(VARIANT)
        pieces = self.dice.choice(FEW if owner >= 0 else MANY)
        self.tell(f"{owner} adds {pieces} of variant {variant}")
        expected = self.model.add(owner, variant, pieces)
        self.cart("add", owner, expected, self.run(self.stage.add(owner, variant, pieces)))

    def change(self) -> None:
        """Another quantity of a line; 0 removes it. Now and then all goes."""
        owner = self.dice.choice([owner for owner, basket in self.model.baskets.items() if basket.lines])
        if self.seldom():
            self.tell(f"{owner} clears the cart")
            self.cart("clear", owner, self.model.clear(owner), self.run(self.stage.clear(owner)))
            return
        variant, pieces = self.dice.choice(list(self.model.baskets[owner].lines)), self.dice.choice(PIECES)
        self.tell(f"{owner} sets variant {variant} to {pieces}")
        item_id = self.run(self.stage.items(owner))[variant]
        if pieces:
            expected = self.model.set(owner, variant, pieces)
            self.cart("set", owner, expected, self.run(self.stage.set(owner, item_id, pieces)))
        else:
            expected = self.model.remove(owner, variant)
            self.cart("remove", owner, expected, self.run(self.stage.remove(owner, item_id)))

    def merge(self) -> None:
        """A guest comes, or signs in and brings a cart along."""
        guests = [owner for owner in self.model.baskets if owner < 0]
        if not guests and len(self.model.gone) < MOST_GUESTS:
            owner = self.model.open_guest()
            self.tell(f"{owner} comes, who is a guest")
            self.cart("guest", owner, "OK", self.run(self.stage.open_guest(owner)))
            return
        baskets = self.model.baskets
        guest = self.mostly([guest for guest in guests if baskets[guest].lines], [*guests, *self.model.gone])
        alike = [buyer for buyer in BUYER if guest in guests and baskets[buyer].lines.keys() & baskets[guest].lines]
        buyer = self.mostly(alike, BUYER)
        strategy = self.dice.choice(STRATEGY)
        self.tell(f"{guest} signs in as {buyer}: {strategy}")
        expected = self.model.merge(guest, buyer, strategy)
        said: MergedCart | Refused = self.run(self.stage.merge(guest, buyer, strategy))
        if isinstance(expected, str) or isinstance(said, Refused):
            self.same("merge", expected, reason_of(said))
            return
        variants = self.stage.goods
        merged = {variants.index(line.variant_id): line.merged_quantity for line in said.report.lines}
        names = [f"CODE-{number}" for number in range(len(self.model.codes))]
        along, dropped = (
            tuple(map(names.index, codes)) for codes in (said.report.promo_codes, said.report.dropped_promo_codes)
        )
        self.same("merge", expected, (merged, along, dropped))
        assert cart_view(self.stage, said.cart) == self.model.shown(buyer)

    # -- codes

    def code(self) -> None:
        """Somebody makes a code, or changes or disables one."""
        codes = self.model.codes
        if not codes or (len(codes) < 8 and not self.seldom()):
            code = self.new_code()
            self.tell(f"code {len(codes)} is made: {code}")
            self.run(self.stage.make_code(code))
            codes.append(code)
            return
        number = self.dice.choice(range(len(codes)))
        code = codes[number]
        if code.is_disabled or self.seldom():
            self.tell(f"code {number} is disabled")
            code.is_disabled = True
            self.run(self.stage.disable_code(number))
            return
        least = code.least
        code.least, code.limit, code.each = self.dice.choice((least, 0, 2_000)), self.limit(), self.limit()
        code.version += code.least != least
        self.tell(f"code {number} is changed: {code}")
        self.run(self.stage.change_code(number, code))

    def new_code(self) -> Code:
        """Some code."""
        code = Code(self.dice.choice((*KINDS, "PERCENT", "FIXED")), limit=self.limit(), each=self.limit())
        if code.kind == "PERCENT":
            code.percent = self.dice.choice(PERCENT)
        if code.kind == "FIXED":
            code.amount = self.dice.choice(AMOUNT)
        elif self.seldom():
            code.cap = self.dice.choice((1, 100, 333))
        if self.seldom():
            code.shop = self.dice.choice(range(SHOPS))
        if self.seldom():
            own = [variant for variant in VARIANT if code.shop in (None, VARIANTS[variant].shop)]
            code.variants = frozenset(self.dice.sample(own, 2))
        code.least = self.dice.choice((0, 0, 0, 2_000))
        code.is_first_only, code.is_stackable = self.seldom(), not self.seldom()
        if self.seldom():
            code.end = self.model.now + timedelta(minutes=self.dice.choice((5, 20)))
        return code

    def limit(self) -> int | None:
        """How often a code may be used."""
        return self.dice.choice((None, None, 1, 2))

    def apply(self) -> None:
        """A code is entered, or taken off again."""
        owner, number = self.owner(), self.dice.choice(range(len(self.model.codes)))
        if self.seldom():
            self.tell(f"{owner} takes code {number} off")
            expected = self.gone_or(owner, lambda: self.model.take_off(owner, number))
            self.cart("take off", owner, expected, self.run(self.stage.take_off(owner, number)))
        else:
            self.tell(f"{owner} enters code {number}")
            expected = self.gone_or(owner, lambda: self.model.apply(owner, number))
            self.cart("apply", owner, expected, self.run(self.stage.apply(owner, number)))

    # -- ordering

    def quote(self) -> None:
        """Look what it costs, and mostly order it."""
        filled = [owner for owner, basket in self.model.baskets.items() if basket.lines]
        owner = self.mostly(filled, [*self.model.baskets, *self.model.gone])
        self.tell(f"{owner} asks what it costs")
        expected = self.model.quote(owner)
        said: QuoteResult | Refused = self.run(self.stage.quote(self.stage.caller(owner)))
        if isinstance(expected, str) or isinstance(said, Refused):
            self.same("quote", expected, reason_of(said))
            return
        self.same("quote", expected, quote_view(self.stage, said))
        if said.expire_time is None:
            return
        self.keys.append(QuoteKey(said.quote.quote_id, said.expire_time))
        if owner >= 0 and not self.seldom():
            self.place(len(self.keys) - 1, owner, 0)

    def order(self) -> None:
        """Order some quote of before, perhaps somebody else's, and perhaps for a total that nobody has named."""
        number = self.mostly(range(max(0, len(self.keys) - 3), len(self.keys)), range(len(self.keys)))
        own = self.model.quotes[number].owner
        self.place(number, self.dice.choice(BUYER) if own < 0 or self.seldom() else own, int(self.seldom()))

    def place(self, number: int, buyer: Owner, more: int) -> None:
        quote: Quote = self.model.quotes[number]
        self.tell(f"buyer {buyer} orders quote {number}, which is for {quote.total}, for {more} more")
        total = quote.total + more
        expected = self.model.place(quote, buyer, total)
        said: PlacedGroup | Refused = self.run(self.stage.place(self.stage.caller(buyer), self.keys[number], total))
        if isinstance(said, Refused):
            self.note("place", said.reason)
            assert said.reason in expected, f"the order was refused: {said.reason}, expected {expected or 'none'}"
            return
        self.note("place", "OK")
        assert not expected, f"the order was placed; expected {expected}"
        group = self.model.groups[-1]
        orders = sorted(said.orders, key=lambda order: order.seller_id)
        variants = self.stage.goods
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

    # -- in short

    def owner(self) -> Owner:
        """A buyer or a guest, seldom one who is gone."""
        empty = [owner for owner, basket in self.model.baskets.items() if owner < 0 and not basket.lines]
        return self.mostly([*self.model.baskets, *empty], [*self.model.baskets, *self.model.gone])

    def gone_or(self, owner: Owner, move: Callable[[], str]) -> str:
        """What comes of a move with a cart that may be gone."""
        return "TOKEN_EXPIRED" if owner in self.model.gone else move()
