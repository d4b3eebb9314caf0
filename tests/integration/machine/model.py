"""What the marketplace should be, kept in memory beside it: goods, carts, quotes and the clock. Pure.

It is written from the contract, and on purpose by other means than the marketplace: plain sums instead of statements,
fractions instead of whole numbers. sales.py has what was ordered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Final, TypeAlias

BUYERS: Final = 3
SHOPS: Final = 2
FEE: Final = 490
TAX_PERCENT: Final = 19
QUOTE_LIFETIME: Final = timedelta(minutes=15)
UNPAID_LIFETIME: Final = timedelta(minutes=30)
ACCEPT_LIFETIME: Final = timedelta(hours=1)
MOST_PIECES: Final = 999

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
    """A cart: lines by variant, in the order in which they came."""

    lines: dict[int, CartLine] = field(default_factory=dict)


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

    @property
    def total(self) -> int:
        """What is to be paid for it."""
        return sum(line.worth for line in self.lines) + self.fee

    @property
    def tax(self) -> int:
        """What of it is tax."""
        return sum(tax_of(line.worth) for line in self.lines) + tax_of(self.fee)


@dataclass
class Quote:
    """A quote that can be ordered."""

    owner: Owner
    packages: tuple[Package, ...]
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


def tax_of(gross: int) -> int:
    """The tax that a price includes, half up."""
    return half_up(Fraction(gross * TAX_PERCENT, 100 + TAX_PERCENT))


def half_up(exact: Fraction) -> int:
    """The nearest whole number; the upper one of two."""
    return floor(exact + Fraction(1, 2))


class Shelves:
    """Goods, carts and quotes. Each move gives the reason of its refusal, or `OK` when it is done."""

    def __init__(self) -> None:
        self.now = timedelta(0)
        self.stock = [Stock(goods.stock) for goods in VARIANTS]
        self.prices = [goods.price for goods in VARIANTS]
        self.baskets: dict[Owner, Basket] = {buyer: Basket() for buyer in range(BUYERS)}
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

    def add(self, owner: Owner, variant: int, pieces: int) -> str:
        """Add pieces."""
        lines = self.baskets[owner].lines
        had = lines[variant].pieces if variant in lines else 0
        if had + pieces > MOST_PIECES:
            return "VALIDATION_FAILED"
        self._put(owner, variant, had + pieces)
        return "OK"

    def set(self, owner: Owner, variant: int, pieces: int) -> str:
        """Set how many there are of a line."""
        if variant not in self.baskets[owner].lines:
            return "NOT_FOUND"
        self._put(owner, variant, pieces)
        return "OK"

    def remove(self, owner: Owner, variant: int) -> str:
        """Remove a line."""
        return "NOT_FOUND" if self.baskets[owner].lines.pop(variant, None) is None else "OK"

    def clear(self, owner: Owner) -> None:
        """Remove all lines."""
        self.baskets[owner].lines.clear()

    def _put(self, owner: Owner, variant: int, pieces: int) -> None:
        lines = self.baskets[owner].lines
        if variant in lines:
            lines[variant].pieces, lines[variant].price = pieces, self.prices[variant]
        else:
            lines[variant] = CartLine(pieces, self.prices[variant])

    def shown(self, owner: Owner) -> Mapping[int, tuple[int, int, tuple[str, ...]]]:
        """The cart as it is shown: pieces, price and problems of each line."""
        return {
            variant: (line.pieces, self.prices[variant], self._problems(variant, line))
            for variant, line in self.baskets[owner].lines.items()
        }

    def _problems(self, variant: int, line: CartLine) -> tuple[str, ...]:
        problems = []
        if line.pieces > self.stock[variant].available:
            problems.append("INSUFFICIENT_STOCK")
        if line.price != self.prices[variant]:
            problems.append("PRICE_CHANGED")
        return tuple(problems)

    # -- quotes

    def quote(self, owner: Owner) -> Quoted | str:
        """Quote the cart; what can be ordered is kept."""
        lines = self.baskets[owner].lines
        if not lines:
            return "CART_EMPTY"
        packages = tuple(self._packages(lines))
        problems = tuple(sorted(kind for variant, line in lines.items() for kind in self._problems(variant, line)))
        quoted = Quoted(packages, problems, is_good="INSUFFICIENT_STOCK" not in problems)
        if quoted.is_good:
            self.quotes.append(Quote(owner, packages, self.now + QUOTE_LIFETIME))
        return quoted

    def _packages(self, lines: Mapping[int, CartLine]) -> Iterable[Package]:
        for shop in range(SHOPS):
            own = tuple(
                QuotedLine(variant, line.pieces, self.prices[variant])
                for variant, line in lines.items()
                if VARIANTS[variant].shop == shop
            )
            if own:
                is_sent = any(VARIANTS[line.variant].is_sent for line in own)
                yield Package(shop, own, FEE if is_sent else 0)
