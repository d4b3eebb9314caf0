"""What a code and a percentage look like, by the contract's own rules."""

from __future__ import annotations

from typing import Any, Final

import protovalidate
import pytest
from google.type.decimal_pb2 import Decimal
from marketplace.promotion.v1.promo_code_pb2 import PromoCode

VALIDATOR: Final = protovalidate.Validator()


@pytest.mark.parametrize("code", ["ABC", "spring_2026-A", "x" * 32, "---"])
def test_codes_are_short_and_plain(code: str) -> None:
    assert _broken(code=code) == []


@pytest.mark.parametrize("code", ["AB", "x" * 33, "10 %", "Größe", "A.B.C", "ABC\n"])
def test_other_codes_are_refused(code: str) -> None:
    assert _broken(code=code) == ["promo_code.code"]


@pytest.mark.parametrize("text", ["10", "12.5", "0.0001", "100", "100.0000", "99.9999", "07"])
def test_percentages_are_above_nothing_and_at_most_all(text: str) -> None:
    assert _broken(percent=Decimal(value=text)) == []


@pytest.mark.parametrize("text", ["", "0", "0.0000", "100.0001", "101", "-5", "5.12345", "1e1", "ten", " 5", "5%"])
def test_other_percentages_are_refused(text: str) -> None:
    assert _broken(percent=Decimal(value=text)) == ["promo_code.percent"]


def _broken(**fields: Any) -> list[str]:
    """The names of the rules that a code with these fields breaks."""
    return [each.proto.rule_id for each in VALIDATOR.collect_violations(PromoCode(**fields))]
