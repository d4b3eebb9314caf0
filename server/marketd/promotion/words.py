"""Why a code does not count, in sentences that say what to do; for answers and refusals alike."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from marketd.kernel.values.money import Money
from marketd.promotion.model import MAX_CODES
from marketd.promotion.values import PromoCode


def unknown(code: str) -> str:
    """There is no such code."""
    return f"There is no promo code {code}; check how it is spelled."


def disabled(code: str) -> str:
    """Somebody has disabled it."""
    return f"The promo code {code} is not valid any more; use another one."


def out_of_window(code: PromoCode, now: datetime) -> str:
    """Its time is over or has not begun."""
    if code.start_time is not None and now < code.start_time:
        return f"The promo code {code.code} is valid from {_clock(code.start_time)} on; come back then."
    until = "" if code.end_time is None else f" until {_clock(code.end_time)}"
    return f"The promo code {code.code} was valid{until}; use another one."


def used_up(code: str, *, by_user: bool) -> str:
    """It was used as often as it may be, by all or by this account."""
    if by_user:
        return f"You have used the promo code {code} as often as one account may; use another one."
    return f"The promo code {code} has been used as often as it may be; use another one."


def later_order(code: str) -> str:
    """It is for those who have not ordered before."""
    return f"The promo code {code} is for a first order, and you have ordered before; use another one."


def out_of_scope(code: str) -> str:
    """Nothing on the cart is what it is for."""
    return f"The promo code {code} is for nothing that is in the cart; add what it is for, or use another one."


def too_little(code: str, least: Money, worth: Money) -> str:
    """What it is for comes to less than its minimum."""
    return f"The promo code {code} needs {least} worth of what it is for; add {least - worth} more."


def not_beside(code: str, others: Sequence[str]) -> str:
    """It cannot stand beside these."""
    names = " and ".join(others)
    return f"The promo code {code} cannot be used together with {names}; remove {names} to use it."


def too_many(code: str) -> str:
    """The cart is full of codes."""
    return f"A cart takes at most {MAX_CODES} promo codes; remove another one to use {code}."


def delivered_free(code: str) -> str:
    """It makes free what is free."""
    return f"The delivery of what the promo code {code} is for costs nothing as it is; keep the code for later."


def nothing_left(code: str) -> str:
    """It would take nothing off."""
    return f"Nothing is left that the promo code {code} could take off; remove another code, or keep it for later."


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
