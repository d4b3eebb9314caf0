"""What holds of a product's variants, without a database."""

from __future__ import annotations

from dataclasses import replace

import pytest
from marketd.catalog.values import NewVariant, VariantSpec
from marketd.catalog.variants import rules
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money


def _spec(price: int | None, *, active: bool = True, position: int = 1, former: int | None = None) -> VariantSpec:
    new = NewVariant(
        "",
        {},
        None if price is None else Money(price, "EUR"),
        None if former is None else Money(former, "EUR"),
        0,
        active,
        "",
        None,
    )
    return rules.new_variant(new_id(), new_id(), (), new, "EUR", position, "variant")


@pytest.mark.parametrize(
    ("variants", "shown"),
    [
        ([], (None, None)),
        ([_spec(None)], (None, None)),
        ([_spec(500), _spec(300, former=400, position=2)], (300, 400)),
        ([_spec(500), _spec(300, active=False, position=2)], (500, None)),
        ([_spec(500, active=False), _spec(300, active=False, position=2)], (300, None)),
        ([_spec(None), _spec(300, active=False, position=2)], (300, None)),
        ([_spec(300, former=900, position=2), _spec(300, former=400)], (300, 400)),
        ([_spec(0)], (0, None)),
    ],
)
def test_a_product_shows_the_prices_of_the_cheapest_that_can_be_bought(
    variants: list[VariantSpec], shown: tuple[int | None, int | None]
) -> None:
    assert rules.shown_prices(variants) == shown


@pytest.mark.parametrize(
    ("before", "wanted", "former"),
    [
        (("Size", "Color"), ("Color", "Size"), {"Color": "Color", "Size": "Size"}),
        (("Size", "Color"), ("size", "Hue"), {"size": "Size", "Hue": "Color"}),
        (("A", "B", "C"), ("X", "B", "Y"), {"X": "A", "B": "B", "Y": "C"}),
        (("A", "B"), ("B", "X"), {"B": "B", "X": "A"}),
    ],
)
def test_options_that_are_there_no_more_are_renamed_in_their_order(
    before: tuple[str, ...], wanted: tuple[str, ...], former: dict[str, str]
) -> None:
    assert rules.renamed_options(before, wanted) == former
    chosen = tuple((name, f"value of {name}") for name in before)
    after = rules.with_options(replace(_spec(1), options=chosen), former)
    assert after.options == tuple((name, f"value of {former[name]}") for name in wanted)


@pytest.mark.parametrize("wanted", [("A",), ("A", "a"), ("A", "B", "C")])
def test_options_are_neither_added_nor_taken_away(wanted: tuple[str, ...]) -> None:
    with pytest.raises(ValidationFailed):
        rules.renamed_options(("A", "B"), wanted)
