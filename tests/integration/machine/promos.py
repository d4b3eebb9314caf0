"""What promo codes should take off, by plain fractions: the model of promotion/discounts.py and judge.py. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from math import floor
from typing import Final

MOST_CODES: Final = 5
KINDS: Final = ("PERCENT", "FIXED", "FREE_DELIVERY")


@dataclass
class Code:
    """A promo code. percent: of PERCENT. amount: of FIXED. shop: whose it is, None for the platform's.

    variants: what it is for, empty for everything. uses: how often each buyer uses it now.
    """

    kind: str
    percent: Fraction = Fraction(0)
    amount: int = 0
    cap: int | None = None
    shop: int | None = None
    variants: frozenset[int] = frozenset()
    least: int = 0
    end: timedelta | None = None
    limit: int | None = None
    each: int | None = None
    is_first_only: bool = False
    is_stackable: bool = True
    is_disabled: bool = False
    version: int = 1
    uses: dict[int, int] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """How often it is used now."""
        return sum(self.uses.values())


@dataclass(frozen=True)
class Amount:
    """A line as codes see it: its variant, whose it is, and what it comes to before discounts."""

    variant: int
    shop: int
    amount: int


@dataclass(frozen=True)
class Taken:
    """What a code, by its number, takes off lines (by variant) and off deliveries (by shop)."""

    code: int
    lines: Mapping[int, int]
    deliveries: Mapping[int, int]


@dataclass(frozen=True)
class Judged:
    """What the codes of a cart do, in the order in which they count, and why the others do not."""

    taken: tuple[Taken, ...] = ()
    problems: Mapping[int, str] = field(default_factory=dict)

    def off(self, variant: int) -> int:
        """What all of them take off a line."""
        return sum(each.lines.get(variant, 0) for each in self.taken)

    def off_delivery(self, shop: int) -> int:
        """What all of them take off a package's delivery."""
        return sum(each.deliveries.get(shop, 0) for each in self.taken)


def half_up(exact: Fraction) -> int:
    """The nearest whole number; the upper one of two."""
    return floor(exact + Fraction(1, 2))


def shared(amount: int, weights: Mapping[int, int]) -> dict[int, int]:
    """The amount in proportion to the weights, by largest remainder; of equal ones the earlier gets the unit."""
    whole = sum(weights.values())
    if not whole:
        return {}
    exact = {key: Fraction(amount * weight, whole) for key, weight in weights.items()}
    parts = {key: floor(share) for key, share in exact.items()}
    by_rest = sorted(exact, key=lambda key: parts[key] - exact[key])  # stable: the earlier of equal ones first
    for key in by_rest[: amount - sum(parts.values())]:
        parts[key] += 1
    return {key: part for key, part in parts.items() if part}


def judge(
    codes: Sequence[Code],
    applied: Sequence[int],
    lines: Sequence[Amount],
    fees: Mapping[int, int] | None,
    now: timedelta,
    buyer: int | None,
    *,
    has_ordered: bool,
) -> Judged:
    """What the applied codes do for these lines. fees: by shop, None while unknown. buyer: None for guests."""
    problems = {}
    for number in applied:
        problem = _problem(codes[number], lines, now, buyer, has_ordered=has_ordered)
        if problem:
            problems[number] = problem
    while True:
        standing: list[int] = []
        kept_out = {}
        for number in applied:
            if number in problems:
                continue
            alone = not codes[number].is_stackable
            if standing and (alone or any(not codes[each].is_stackable for each in standing)):
                kept_out[number] = "PROMO_NOT_APPLICABLE"
            else:
                standing.append(number)
        taken = _taken(codes, standing, lines, fees)
        idle = [
            each.code
            for each in taken
            if not each.lines
            and not each.deliveries
            and not (codes[each.code].kind == "FREE_DELIVERY" and fees is None)
        ]
        if not idle:
            return Judged(taken, problems | kept_out)
        problems |= dict.fromkeys(idle, "PROMO_NOT_APPLICABLE")


def covers(code: Code, line: Amount) -> bool:
    """Whether the code is for this line."""
    return code.shop in (None, line.shop) and (not code.variants or line.variant in code.variants)


def _problem(code: Code, lines: Sequence[Amount], now: timedelta, buyer: int | None, *, has_ordered: bool) -> str:
    if code.is_disabled or (code.end is not None and now >= code.end):
        return "PROMO_EXPIRED"
    if code.limit is not None and code.used >= code.limit:
        return "PROMO_EXHAUSTED"
    if buyer is not None and code.each is not None and code.uses.get(buyer, 0) >= code.each:
        return "PROMO_EXHAUSTED"
    worth = [line.amount for line in lines if covers(code, line)]
    if (code.is_first_only and has_ordered) or not worth or sum(worth) < code.least:
        return "PROMO_NOT_APPLICABLE"
    return ""


def _taken(
    codes: Sequence[Code], standing: Sequence[int], lines: Sequence[Amount], fees: Mapping[int, int] | None
) -> tuple[Taken, ...]:
    left = {line.variant: line.amount for line in lines}
    fees_left = dict(fees or {})
    taken = []
    for kind in KINDS:
        for number in standing:
            code = codes[number]
            if code.kind != kind:
                continue
            meant = [line for line in lines if covers(code, line)]
            if kind == "FREE_DELIVERY":
                shops = [shop for shop in dict.fromkeys(line.shop for line in meant) if shop in fees_left]
                deliveries = _take(code, fees_left, shops)
                taken.append(Taken(number, {}, deliveries))
            else:
                taken.append(Taken(number, _take(code, left, [line.variant for line in meant]), {}))
    return tuple(taken)


def _take(code: Code, left: dict[int, int], keys: Sequence[int]) -> dict[int, int]:
    """What the code takes off what is left under the keys, which is less by it then."""
    whole = sum(left[key] for key in keys)
    wanted = {
        "PERCENT": half_up(whole * code.percent / 100),
        "FIXED": code.amount,
        "FREE_DELIVERY": whole,
    }[code.kind]
    off = min(wanted, whole if code.cap is None else code.cap, whole)
    parts = shared(off, {key: left[key] for key in keys})
    for key, part in parts.items():
        left[key] -= part
    return parts
