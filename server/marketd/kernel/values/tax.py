"""Rates of tax, and what of a price is tax: whole numbers only.

A rate is in ten-thousandths of a percent: 190,000 is 19 %, 55,000 is 5.5 %. Prices include their tax.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

RATE_DIGITS: Final = 4
_PERCENT: Final = 10**RATE_DIGITS
_WHOLE: Final = 100 * _PERCENT


def rate_of(percent: str | Decimal) -> int:
    """The rate of a percentage from 0 to 100 with at most 4 decimals, such as `5.5`. Raises ValueError."""
    try:
        scaled = Decimal(percent).scaleb(RATE_DIGITS)
        rate = int(scaled)
    except (ArithmeticError, ValueError) as error:
        raise ValueError("is no percentage") from error
    if rate != scaled or not 0 <= rate <= _WHOLE:
        raise ValueError("is no percentage from 0 to 100 with at most 4 decimals")
    return rate


def percent_of(rate: int) -> str:
    """The percentage without needless digits: `19`, `5.5`, `0`."""
    whole, rest = divmod(rate, _PERCENT)
    return f"{whole}.{rest:0{RATE_DIGITS}d}".rstrip("0").rstrip(".")


def tax_in(gross_minor: int, rate: int) -> int:
    """The tax that an amount of 0 or more includes, half up, in the same minor units."""
    parts = _WHOLE + rate
    return (2 * gross_minor * rate + parts) // (2 * parts)
