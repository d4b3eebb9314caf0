"""What the marketplace should be, kept in memory beside it: goods, carts, quotes and the clock. Pure.

It is written from the contract, and on purpose by other means than the marketplace: plain sums instead of statements,
fractions instead of whole numbers. sales.py has what was ordered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Final, TypeAlias

from tests.integration.machine.promos import MOST_CODES, Amount, Code, Judged, half_up, judge

BUYERS: Final = 3
SHOPS: Final = 2
FEE: Final = 490
TAX_PERCENT: Final = 19
QUOTE_LIFETIME: Final = timedelta(minutes=15)
UNPAID_LIFETIME: Final = timedelta(minutes=30)
ACCEPT_LIFETIME: Final = timedelta(hours=1)
MOST_PIECES: Final = 999
MOST_MONEY: Final = 100_000_000 * 100

Owner: TypeAlias = int
"""Whose a cart is: a buyer's number, or below 0 a guest's."""


@dataclass(frozen=True)
class Goods:
    """A variant as it is at first; each is a product of its own."""

    shop: int
    price: int
    stock: int
    is_sent: bool = True


VARIANTS: Final = (
    Goods(0, 1_000, 8),
    Goods(0, 333, 12),
    Goods(0, 1, 1_500, is_sent=False),
    Goods(1, 2_499, 7),
    Goods(1, 0, 20),
    Goods(1, 99, 5, is_sent=False),
)


@dataclass
class Stock:
    """How many pieces are there, and how many of them are promised."""

    on_hand: int
    reserved: int = 0

    @property
    def available(self) -> int:
        """How many can be sold."""
        return self.on_hand - self.reserved


@dataclass
class CartLine:
    """Pieces of a variant, and its price when the line was last changed."""

    pieces: int
    price: int


@dataclass
class Basket:
    """A cart: lines by variant and codes by number, in the order in which they came."""

    lines: dict[int, CartLine] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class QuotedLine:
    """A line of a quote."""

    variant: int
    pieces: int
    price: int
    discount: int = 0

    @property
    def worth(self) -> int:
        """What is to be paid for it."""
        return self.price * self.pieces - self.discount


@dataclass(frozen=True)
class Package:
    """What one shop would send."""

    shop: int
    lines: tuple[QuotedLine, ...]
    fee: int
    fee_discount: int = 0

    @property
    def total(self) -> int:
        """What is to be paid for it."""
        return sum(line.worth for line in self.lines) + self.fee - self.fee_discount

    @property
    def tax(self) -> int:
        """What of it is tax."""
        return sum(tax_of(line.worth) for line in self.lines) + tax_of(self.fee - self.fee_discount)


@dataclass
class Quote:
    """A quote that can be ordered."""

    owner: Owner
    packages: tuple[Package, ...]
    judged: Judged
    versions: Mapping[int, int]
    end: timedelta
    is_used: bool = False

    @property
    def total(self) -> int:
        """What is to be paid."""
        return sum(package.total for package in self.packages)


@dataclass(frozen=True)
class Quoted:
    """What a quote should say: its packages, its problems by their kinds, and whether it can be ordered."""

    packages: tuple[Package, ...]
    problems: tuple[str, ...]
    is_good: bool


ShownCart: TypeAlias = tuple[Mapping[int, tuple[int, int, tuple[str, ...]]], Mapping[int, int], Mapping[int, str]]
"""Pieces, price and problems of each line; what is taken off lines; why codes do nothing."""

Merged: TypeAlias = tuple[Mapping[int, int], tuple[int, ...], tuple[int, ...]]
"""Of a merge: how many pieces of each of the guest's variants are there then, the codes that came along, and others."""


def tax_of(gross: int) -> int:
    """The tax that a price includes, half up."""
    return half_up(Fraction(gross * TAX_PERCENT, 100 + TAX_PERCENT))


class Shelves:
    """Goods, carts and quotes. Each move gives the reason of its refusal, or `OK` when it is done."""

    def __init__(self) -> None:
        self.now = timedelta(0)
        self.stock = [Stock(goods.stock) for goods in VARIANTS]
        self.prices = [goods.price for goods in VARIANTS]
        self.baskets: dict[Owner, Basket] = {buyer: Basket() for buyer in range(BUYERS)}
        self.gone: list[Owner] = []
        self.codes: list[Code] = []
        self.quotes: list[Quote] = []

    def later(self, minutes: int) -> None:
        """Time goes by."""
        self.now += timedelta(minutes=minutes)

    # -- goods

    def adjust(self, variant: int, delta: int) -> str:
        """The seller puts some in, or takes some out."""
        stock = self.stock[variant]
        if stock.on_hand + delta < 0:
            # Nothing promised: there are not so many.
            return "INSUFFICIENT_STOCK" if stock.reserved > stock.on_hand + delta else "VALIDATION_FAILED"
        if stock.reserved > stock.on_hand + delta:
            return "INSUFFICIENT_STOCK"
        stock.on_hand += delta
        return "OK"

    def price(self, variant: int, price: int) -> None:
        """The seller changes the price."""
        self.prices[variant] = price

    # -- carts

    def open_guest(self) -> Owner:
        """Somebody comes who has no account."""
        owner = -1 - sum(each < 0 for each in (*self.baskets, *self.gone))
        self.baskets[owner] = Basket()
        return owner

    def add(self, owner: Owner, variant: int, pieces: int) -> str:
        """Add pieces."""
        if owner in self.gone:
            return "TOKEN_EXPIRED"
        lines = self.baskets[owner].lines
        had = lines[variant].pieces if variant in lines else 0
        if had + pieces > MOST_PIECES:
            return "VALIDATION_FAILED"
        self._put(owner, variant, had + pieces)
        return "OK"

    def set(self, owner: Owner, variant: int, pieces: int) -> str:
        """Set how many there are of a line."""
        self._put(owner, variant, pieces)
        return "OK"

    def remove(self, owner: Owner, variant: int) -> str:
        """Remove a line."""
        del self.baskets[owner].lines[variant]
        return "OK"

    def clear(self, owner: Owner) -> str:
        """Remove all lines and codes."""
        self.baskets[owner] = Basket()
        return "OK"

    def merge(self, guest: Owner, buyer: Owner, strategy: str) -> Merged | str:
        """A guest's cart goes into an account's."""
        if guest in self.gone:
            return "NOT_FOUND"
        mine, theirs = self.baskets[buyer].lines, self.baskets.pop(guest)
        self.gone.append(guest)
        for variant, line in theirs.lines.items():
            if variant not in mine:
                mine[variant] = CartLine(line.pieces, line.price)
                continue
            both = (mine[variant].pieces, line.pieces)
            wanted = {"SUM": sum(both), "KEEP_MAX": max(both), "PREFER_GUEST": both[1], "PREFER_USER": both[0]}
            mine[variant].pieces = min(MOST_PIECES, wanted[strategy])
        codes = self.baskets[buyer].codes
        dropped: list[int] = []
        for number in theirs.codes:
            if number in codes:
                continue
            alone = codes and not all(self.codes[each].is_stackable for each in (number, *codes))
            (dropped if alone or len(codes) >= MOST_CODES else codes).append(number)
        for quote in self.quotes:
            if quote.owner == guest and quote.end > self.now:
                quote.owner = buyer
        along = tuple(number for number in theirs.codes if number not in dropped)
        return {variant: mine[variant].pieces for variant in theirs.lines}, along, tuple(dropped)

    def _put(self, owner: Owner, variant: int, pieces: int) -> None:
        lines = self.baskets[owner].lines
        if variant in lines:
            lines[variant].pieces, lines[variant].price = pieces, self.prices[variant]
        else:
            lines[variant] = CartLine(pieces, self.prices[variant])

    def shown(self, owner: Owner) -> ShownCart:
        """The cart as it is shown."""
        lines = {
            variant: (line.pieces, self.prices[variant], self._problems(variant, line))
            for variant, line in self.baskets[owner].lines.items()
        }
        judged = self.judged(owner, None)
        return lines, {variant: off for variant in lines if (off := judged.off(variant))}, judged.problems

    def _problems(self, variant: int, line: CartLine) -> tuple[str, ...]:
        problems = []
        if line.pieces > self.stock[variant].available:
            problems.append("INSUFFICIENT_STOCK")
        if line.price != self.prices[variant]:
            problems.append("PRICE_CHANGED")
        return tuple(problems)

    # -- codes

    def apply(self, owner: Owner, number: int) -> str:
        """Put a code on the cart."""
        applied = self.baskets[owner].codes
        if number in applied:
            return "OK"
        if len(applied) >= MOST_CODES:
            return "VALIDATION_FAILED"
        if applied and not all(self.codes[each].is_stackable for each in (number, *applied)):
            return "PROMO_NOT_APPLICABLE"
        problem = self.judged(owner, None, (*applied, number)).problems.get(number)
        if problem in ("PROMO_EXPIRED", "PROMO_EXHAUSTED"):
            return problem
        applied.append(number)
        return "OK"

    def take_off(self, owner: Owner, number: int) -> str:
        """Take a code off the cart."""
        if number not in self.baskets[owner].codes:
            return "NOT_FOUND"
        self.baskets[owner].codes.remove(number)
        return "OK"

    def judged(self, owner: Owner, fees: Mapping[int, int] | None, applied: Sequence[int] | None = None) -> Judged:
        """What the codes of a cart do."""
        basket = self.baskets[owner]
        lines = [
            Amount(variant, VARIANTS[variant].shop, self.prices[variant] * line.pieces)
            for variant, line in basket.lines.items()
        ]
        buyer = None if owner < 0 else owner
        codes = basket.codes if applied is None else applied
        return judge(self.codes, codes, lines, fees, self.now, buyer, has_ordered=self.has_ordered(owner))

    def has_ordered(self, owner: Owner) -> bool:
        """Whether somebody has an order that stands; of guests nobody knows."""
        raise NotImplementedError

    # -- quotes

    def quote(self, owner: Owner) -> Quoted | str:
        """Quote the cart; what can be ordered is kept."""
        if owner in self.gone:
            return "TOKEN_EXPIRED"
        lines = self.baskets[owner].lines
        if not lines:
            return "CART_EMPTY"
        shops = [shop for shop in range(SHOPS) if any(VARIANTS[variant].shop == shop for variant in lines)]
        fees = {
            shop: FEE
            for shop in shops
            if any(VARIANTS[variant].is_sent and VARIANTS[variant].shop == shop for variant in lines)
        }
        judged = self.judged(owner, fees)
        packages = tuple(self._package(shop, lines, fees.get(shop, 0), judged) for shop in shops)
        kinds = [kind for variant, line in lines.items() for kind in self._problems(variant, line)]
        problems = tuple(sorted([*kinds, *judged.problems.values()]))
        total = sum(package.total for package in packages)
        if total > MOST_MONEY:
            problems = tuple(sorted((*problems, "TOTAL_TOO_HIGH")))
        quoted = Quoted(packages, problems, is_good="INSUFFICIENT_STOCK" not in problems and total <= MOST_MONEY)
        if quoted.is_good:
            versions = {each.code: self.codes[each.code].version for each in judged.taken}
            self.quotes.append(Quote(owner, packages, judged, versions, self.now + QUOTE_LIFETIME))
        return quoted

    def _package(self, shop: int, lines: Mapping[int, CartLine], fee: int, judged: Judged) -> Package:
        own = tuple(
            QuotedLine(variant, line.pieces, self.prices[variant], judged.off(variant))
            for variant, line in lines.items()
            if VARIANTS[variant].shop == shop
        )
        return Package(shop, own, fee, judged.off_delivery(shop))
