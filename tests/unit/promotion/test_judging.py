"""Which of a cart's codes count, and why the others do not: a row for every reason, with words that say what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.kernel.call.reasons import Reason
from marketd.promotion.errors import PromoNotApplicable, refusal_of
from marketd.promotion.judge import Candidate, judge
from marketd.promotion.model import MAX_CODES, PromoCodeState, PromoKind
from marketd.promotion.values import Evaluation, PromoCode, PromoLine, PromoProblem

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SHOP, OTHER_SHOP, COFFEE, BEANS = (UUID(int=n) for n in range(1, 5))


def a_code(name: str = "SPRING", **changes: Any) -> PromoCode:
    whole: dict[str, Any] = {
        "promo_code_id": uuid4(),
        "code": name,
        "code_key": name.lower(),
        "seller_id": None,
        "kind": PromoKind.PERCENT,
        "currency": "EUR",
        "rate": 100_000,
        "amount_minor": None,
        "scope_seller_ids": (),
        "scope_category_ids": (),
        "scope_product_ids": (),
        "min_subtotal_minor": None,
        "max_discount_minor": None,
        "start_time": None,
        "end_time": None,
        "usage_limit": None,
        "per_user_limit": None,
        "first_order_only": False,
        "stackable": True,
        "description": "",
        "usage_count": 0,
        "usage_ceiling": None,
        "per_user_ceiling": None,
        "terms_version": 1,
        "create_time": NOW,
        "update_time": NOW,
        "disable_time": None,
        "version": 1,
    }
    if changes.get("kind", PromoKind.PERCENT) is not PromoKind.PERCENT:
        whole["rate"] = None
    return PromoCode(**{**whole, **changes})


def a_line(amount_minor: int = 1_000, seller_id: UUID = SHOP, category_id: UUID | None = COFFEE) -> PromoLine:
    return PromoLine(uuid4(), seller_id, uuid4(), category_id, amount_minor)


LINES = (a_line(1_000), a_line(500, OTHER_SHOP, None))


def judged(*codes: PromoCode | Candidate, lines: Sequence[PromoLine] = LINES, fees: Any = None) -> Evaluation:
    candidates = [each if isinstance(each, Candidate) else Candidate(each) for each in codes]
    return judge(candidates, lines, fees, NOW)


def only_problem(*codes: PromoCode | Candidate, **more: Any) -> PromoProblem:
    (problem,) = judged(*codes, **more).problems
    return problem


@pytest.mark.parametrize(
    ("candidate", "reason", "words"),
    [
        (a_code(disable_time=NOW), Reason.PROMO_EXPIRED, "not valid any more; use another one"),
        (a_code(end_time=NOW), Reason.PROMO_EXPIRED, "was valid until 2026-05-01 12:00 UTC; use another one"),
        (a_code(start_time=NOW + SECOND), Reason.PROMO_EXPIRED, "valid from 2026-05-01 12:00 UTC on; come back then"),
        (a_code(usage_limit=3, usage_count=3), Reason.PROMO_EXHAUSTED, "as often as it may be; use another one"),
        (a_code(usage_limit=2, usage_count=3), Reason.PROMO_EXHAUSTED, "as often as it may be; use another one"),
        (Candidate(a_code(per_user_limit=2), uses=2), Reason.PROMO_EXHAUSTED, "as often as one account may"),
        (
            Candidate(a_code(first_order_only=True), is_first_order=False),
            Reason.PROMO_NOT_APPLICABLE,
            "for a first order, and you have ordered before",
        ),
        (a_code(scope_seller_ids=(uuid4(),)), Reason.PROMO_NOT_APPLICABLE, "add what it is for"),
        (a_code(seller_id=uuid4()), Reason.PROMO_NOT_APPLICABLE, "add what it is for"),
        (a_code(scope_category_ids=(BEANS,)), Reason.PROMO_NOT_APPLICABLE, "add what it is for"),
        (
            a_code(min_subtotal_minor=1_501),
            Reason.PROMO_NOT_APPLICABLE,
            "needs 15.01 EUR worth of what it is for; add 0.01 EUR more",
        ),
        (
            a_code(min_subtotal_minor=1_200, scope_seller_ids=(SHOP,)),
            Reason.PROMO_NOT_APPLICABLE,
            "needs 12.00 EUR worth of what it is for; add 2.00 EUR more",
        ),
        (a_code(rate=1), Reason.PROMO_NOT_APPLICABLE, "Nothing is left"),
    ],
)
def test_a_code_says_why_it_takes_nothing_off(candidate: PromoCode | Candidate, reason: Reason, words: str) -> None:
    problem = only_problem(candidate)
    assert (problem.code, problem.reason) == ("SPRING", reason)
    assert words in problem.message
    assert problem.message.endswith(".")
    refusal = refusal_of(problem)
    assert isinstance(refusal, PromoNotApplicable)
    assert (refusal.reason, refusal.metadata, refusal.message) == (reason, {"code": "SPRING"}, problem.message)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (a_code(), PromoCodeState.ACTIVE),
        (a_code(start_time=NOW, end_time=NOW + SECOND), PromoCodeState.ACTIVE),
        (a_code(start_time=NOW + SECOND), PromoCodeState.SCHEDULED),
        (a_code(end_time=NOW), PromoCodeState.EXPIRED),
        (a_code(usage_limit=1, usage_count=1), PromoCodeState.EXHAUSTED),
        (a_code(usage_limit=1, usage_count=1, end_time=NOW), PromoCodeState.EXPIRED),
        (a_code(usage_limit=1, usage_count=1, end_time=NOW, disable_time=NOW), PromoCodeState.DISABLED),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(code: PromoCode, state: PromoCodeState) -> None:
    assert code.state(NOW) is state
    applies = not judged(code).problems
    assert applies == (state is PromoCodeState.ACTIVE)


def test_guests_are_taken_for_those_who_may() -> None:
    assert not judged(a_code(first_order_only=True, per_user_limit=1)).problems


def test_a_category_holds_those_below_it() -> None:
    code = a_code(scope_category_ids=(BEANS,))
    found = judged(Candidate(code, category_ids=(COFFEE,)))
    assert list(found.line_discounts) == [LINES[0].variant_id]
    # A category that is gone fits nothing, and never everything.
    assert only_problem(code, lines=[a_line(category_id=None)]).reason is Reason.PROMO_NOT_APPLICABLE


def test_the_first_of_those_that_cannot_stand_together_counts() -> None:
    alone, first, second = a_code("ALONE", stackable=False), a_code("ONE"), a_code("TWO")
    found = judged(alone, first)
    assert [each.code for each in found.promotions] == ["ALONE"]
    assert [(each.code, each.message) for each in found.problems] == [
        ("ONE", "The promo code ONE cannot be used together with ALONE; remove ALONE to use it.")
    ]
    found = judged(first, second, alone)
    assert [each.code for each in found.promotions] == ["ONE", "TWO"]
    (problem,) = found.problems
    assert (problem.code, problem.reason) == ("ALONE", Reason.PROMO_NOT_APPLICABLE)
    assert "remove ONE and TWO to use it" in problem.message


def test_a_code_that_does_not_count_keeps_no_other_out() -> None:
    alone = a_code("ALONE", stackable=False)
    assert [each.code for each in judged(replace(alone, end_time=NOW), a_code("ONE")).promotions] == ["ONE"]
    idle = replace(alone, rate=1)
    found = judged(idle, a_code("ONE"))
    assert [each.code for each in found.promotions] == ["ONE"]
    assert [each.code for each in found.problems] == ["ALONE"]


def test_a_cart_takes_five_codes() -> None:
    codes = [a_code(f"CODE-{n}", rate=10_000) for n in range(MAX_CODES + 1)]
    found = judged(*codes)
    assert len(found.promotions) == MAX_CODES
    assert [each.code for each in found.problems] == ["CODE-5"]
    assert "at most 5" in found.problems[0].message


def test_a_code_is_not_used_up_for_nothing() -> None:
    everything, fixed = a_code("ALL", rate=1_000_000), a_code("FIX", kind=PromoKind.FIXED, amount_minor=100)
    found = judged(fixed, everything)
    assert [each.code for each in found.promotions] == ["ALL"]
    assert [(each.code, each.reason) for each in found.problems] == [("FIX", Reason.PROMO_NOT_APPLICABLE)]
    assert "remove another code, or keep it" in found.problems[0].message


def test_a_free_delivery_waits_for_the_fees() -> None:
    code = a_code("FREE", kind=PromoKind.FREE_DELIVERY, scope_seller_ids=(SHOP,))
    (unknown,) = judged(code).promotions
    assert (unknown.discount_minor, unknown.delivery_discount_minor) == (0, 0)
    found = judged(code, fees={SHOP: 490, OTHER_SHOP: 300})
    assert found.delivery_discounts == {SHOP: 490}
    assert found.line_discounts == {}
    assert "costs nothing" in only_problem(code, fees={SHOP: 0, OTHER_SHOP: 300}).message
    assert "costs nothing" in only_problem(code, fees={OTHER_SHOP: 300}).message


def test_discounts_of_several_codes_add_up() -> None:
    found = judged(a_code("PART"), a_code("FIX", kind=PromoKind.FIXED, amount_minor=150))
    # 10 % of 15.00 is 1.50; 1.50 of what is left, 9.00 and 4.50.
    assert found.line_discounts == {LINES[0].variant_id: 200, LINES[1].variant_id: 100}
    assert found.problems == ()


@pytest.mark.parametrize(("currency", "words"), [("JPY", "needs 1,501 JPY worth"), ("KWD", "needs 1.501 KWD worth")])
def test_amounts_are_told_in_the_digits_of_their_currency(currency: str, words: str) -> None:
    assert words in only_problem(a_code(currency=currency, min_subtotal_minor=1_501)).message
