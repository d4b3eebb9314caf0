"""Money as a type: whole minor units and a currency, never a float."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from marketd.config.currencies import CURRENCY_DIGITS

MAX_UNITS = 100_000_000
"""The largest amount that anybody may name, in whole units of the currency."""


def minor_digits(currency: str) -> int:
    """How many decimal digits the currency has (ISO 4217): 2 for EUR, 0 for JPY, 3 for KWD.

    Raises KeyError for what is no currency; the setting and the link of requests let none through.
    """
    return CURRENCY_DIGITS[currency]


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in minor units (cents) of one currency (ISO 4217, upper case)."""

    amount_minor: int
    currency: str

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount_minor + other.amount_minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount_minor - other.amount_minor, self.currency)

    def times(self, quantity: int) -> Money:
        """The amount `quantity` times."""
        return Money(self.amount_minor * quantity, self.currency)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"cannot combine {self.currency} and {other.currency}")

    def __str__(self) -> str:
        digits = minor_digits(self.currency)
        return f"{Decimal(self.amount_minor).scaleb(-digits):,.{digits}f} {self.currency}"


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum; zero of `currency` when there is nothing to add."""
    result = Money(0, currency)
    for amount in amounts:
        result += amount
    return result


def parse_decimal(text: str, currency: str) -> Money:
    """The amount in a decimal text such as `49.90`. Raises ValueError for what is no exact amount of the currency."""
    if len(text) > 20:
        raise ValueError("too long for an amount")
    cleaned = text.strip()
    if not cleaned or not all(char.isascii() and (char.isdigit() or char in ".-+") for char in cleaned):
        raise ValueError("not a decimal amount")
    minor = Decimal(cleaned).scaleb(minor_digits(currency))
    if minor != minor.to_integral_value():
        raise ValueError(f"{currency} has {minor_digits(currency)} decimal digits")
    return Money(int(minor), currency)
