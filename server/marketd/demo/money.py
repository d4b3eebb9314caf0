"""Amounts of the contract as whole minor units and as text; never floats."""

from __future__ import annotations

from google.type import money_pb2

_NANOS_A_MINOR = 10_000_000


def to_minor(money: money_pb2.Money) -> int:
    """The amount in hundredths of its currency."""
    return money.units * 100 + money.nanos // _NANOS_A_MINOR


def to_text(money: money_pb2.Money) -> str:
    """The amount for people, such as `12.90 EUR`."""
    minor = to_minor(money)
    return f"{minor // 100}.{minor % 100:02d} {money.currency_code}"


def to_money(minor: int, currency_code: str) -> money_pb2.Money:
    """So many hundredths of the currency."""
    return money_pb2.Money(currency_code=currency_code, units=minor // 100, nanos=minor % 100 * _NANOS_A_MINOR)
