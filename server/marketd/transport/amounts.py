"""What holds for every google.type.Money of a request; which currency it is and its digits are the domain's."""

from __future__ import annotations

import re
from typing import Any

from marketd.kernel.call.refusals import FieldViolation
from marketd.kernel.values.money import MAX_UNITS

MESSAGE = "google.type.Money"
_NANOS = 1_000_000_000
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class Amounts:
    """The judge of one amount."""

    __slots__ = ()

    def judge(self, money: Any, path: str, found: list[FieldViolation]) -> None:
        """Put into `found` what is wrong with an amount whose fields stand at `path` (`price.`)."""
        units, nanos = money.units, money.nanos
        if _CURRENCY.fullmatch(money.currency_code) is None:
            found.append(
                FieldViolation(f"{path}currency_code", "must be the three capital letters of a currency, such as EUR")
            )
        if (units > 0 > nanos) or (units < 0 < nanos):
            found.append(FieldViolation(f"{path}nanos", "must have the sign of units"))
        elif not -_NANOS < nanos < _NANOS:
            found.append(FieldViolation(f"{path}nanos", "must be between -999,999,999 and 999,999,999"))
        elif units < 0 or nanos < 0:
            found.append(FieldViolation(f"{path}{'units' if units < 0 else 'nanos'}", "must not be negative"))
        elif units > MAX_UNITS or (units == MAX_UNITS and nanos > 0):
            found.append(FieldViolation(f"{path}units", f"must not be more than {MAX_UNITS:,}"))
