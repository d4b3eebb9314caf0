"""Products out of the project's own words, for a benchmark that is given no file: their words are as unevenly frequent
as those of real shops, a few everywhere and most of them rare (the n-th is about n times rarer than the first).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from marketd.bench.search_files import SearchProduct

_KINDS: Final = """
Headset Keyboard Notebook Monitor Printer Toner Cable Charger Backpack Kettle Toaster Lamp Mug Teapot Bottle
Blanket Pillow Towel Jacket Shirt Trousers Sneakers Boots Scarf Gloves Watch Ring Necklace Bicycle Helmet Tent
Ladder Drill Hammer Screwdriver Saw Shelf Table Chair Sofa Mirror Carpet Guitar Violin Puzzle Doll Ball Racket
Camera Tripod Speaker Microphone Router Tablet Phone Case Stroller Perfume Shampoo Candle Notepad Pen Calendar
Novel Cookbook Coffee Tea
"""
_TRAITS: Final = """
black white silver blue red green wireless compact waterproof portable foldable organic wooden steel leather
cotton wool ceramic bluetooth usb quiet fast heavy light large small slim wide long short mini professional
classic modern outdoor indoor travel kids women men
"""
_SYLLABLES: Final = """
ba ko ri ten mo la shi ver do nex lu pra ge sto fi nor ka ly zu mer
"""
_RARE_WORDS: Final = 20_000
_BRANDS: Final = 300


def own_products(count: int) -> list[SearchProduct]:
    """So many products, the same ones each time."""
    chance = random.Random(1)  # noqa: S311 - repeatable, not secret
    rare = _Zipf([_word(chance) for _ in range(_RARE_WORDS)], chance)
    brands = _Zipf([_word(chance).capitalize() for _ in range(_BRANDS)], chance)
    traits, kinds = _Zipf(_TRAITS.split(), chance), _Zipf(_KINDS.split(), chance)
    return [_product(number, chance, rare, brands, traits, kinds) for number in range(count)]


class _Zipf:
    """Draws words, the n-th of them n times rarer than the first."""

    def __init__(self, words: Sequence[str], chance: random.Random) -> None:
        self._words = words
        self._chance = chance
        self._weights = list(accumulate(1 / place for place in range(1, len(words) + 1)))

    def draw(self, count: int) -> list[str]:
        return self._chance.choices(self._words, cum_weights=self._weights, k=count)


def _word(chance: random.Random) -> str:
    return "".join(chance.choice(_SYLLABLES.split()) for _ in range(chance.randint(2, 4)))


def _product(
    number: int, chance: random.Random, rare: _Zipf, brands: _Zipf, traits: _Zipf, kinds: _Zipf
) -> SearchProduct:
    brand, kind = brands.draw(1)[0], kinds.draw(1)[0]
    model = f"{chance.choice(_SYLLABLES.split())}{chance.randint(1, 9999)}"
    title = f"{brand} {model} {kind} {' '.join(traits.draw(chance.randint(1, 4)))}"
    return SearchProduct(
        key=str(number),
        title=title,
        brand=brand,
        sku=f"{model}-{number}",
        price_minor=chance.randint(3, 2_000) * 50,
        barcode=f"{4_000_000_000_000 + number}",
        description=" ".join(rare.draw(chance.randint(8, 40)) + traits.draw(6) + kinds.draw(2)),
        attributes={
            "Product type": kind,
            "Colour": traits.draw(1)[0],
            "Material": traits.draw(1)[0],
            "Series": rare.draw(1)[0],
        },
    )
