"""Which picture a product gets by its words, and a shop by what it sells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final, TypeAlias

from marketd.demo.drawing import bakery, garden, roastery
from marketd.demo.drawing.canvas import Canvas, Colour

Draw: TypeAlias = Callable[[Canvas, Random], None]

# The first word that a product's words hold decides, so what is special stands before what is common.
_PRODUCTS: Final[Mapping[str, Draw]] = {
    "seeded": partial(bakery.loaf, crust="#6f4526", seeds=True),
    "baguette": bakery.baguette,
    "croissant": bakery.croissant,
    "cinnamon": bakery.knot,
    "almond": bakery.almond_slice,
    "tart": bakery.tart,
    "cake": bakery.cake,
    "bread": bakery.loaf,
    "pastry": bakery.croissant,
    "cold": roastery.bottle,
    "milk": roastery.carton,
    "pour-over": roastery.pour_over,
    "grinder": roastery.grinder,
    "cup": bakery.cup,
    "decaf": partial(roastery.bag, colour="#5e7f9a"),
    "espresso": partial(roastery.bag, colour="#8c3f2e"),
    "coffee": partial(roastery.bag, colour="#7b8b4a"),
    "roses": garden.roses,
    "dried": garden.dried,
    "bouquet": garden.bouquet,
    "monstera": garden.monstera,
    "olive": garden.olive_tree,
    "herb": garden.herbs,
    "plant": garden.monstera,
    "vase": garden.vase,
    "card": garden.card,
}
_SHOPS: Final[Mapping[str, tuple[Draw, Colour]]] = {
    "bak": (bakery.croissant, "#7a3e1d"),
    "coffee": (bakery.cup, "#33454a"),
    "flower": (garden.bouquet, "#2f5a3a"),
}
_GROUNDS: Final = (
    ("#fbf3e6", "#f0dcc0"),
    ("#f3f1ea", "#dcd9c8"),
    ("#eef4f1", "#cfe0d6"),
    ("#fbeeea", "#efd0c6"),
    ("#eef1f6", "#cdd8e6"),
)


def draw_product(title: str, *words: str) -> bytes:
    """A PNG for a product of that title. words: what else is said of it, such as its kind; what they name is drawn."""
    said = " ".join((title, *words)).casefold()
    chance = _chance(title)
    canvas = Canvas(*chance.choice(_GROUNDS))
    draw = next((draw for word, draw in _PRODUCTS.items() if word in said), None)
    if draw is None:
        _initials(canvas, title, chance)
    else:
        draw(canvas, chance)
    return canvas.png()


def draw_logo(shop_name: str) -> bytes:
    """A PNG for a shop of that name: what it sells in a ring, else its initials."""
    said, chance = shop_name.casefold(), _chance(shop_name)
    found = next((shown for word, shown in _SHOPS.items() if word in said), None)
    canvas = Canvas("#fdf8ef", "#f4e7d2")
    if found is None:
        _initials(canvas, shop_name, chance)
    else:
        draw, ring = found
        canvas.ellipse(50, 50, 98, 98, ring)
        canvas.ellipse(50, 50, 90, 90, "#fdf8ef")
        draw(canvas, chance)
    return canvas.png()


def _initials(canvas: Canvas, text: str, chance: Random) -> None:
    """The first letters on a disc, for what there is no drawing of."""
    colour = chance.choice(("#a6543f", "#3f6f6a", "#6a5a8c", "#8c7a3f", "#4a6a94"))
    canvas.shadow(50, 84, 60, 9)
    canvas.ellipse(50, 49, 66, 66, colour)
    letters = "".join(word[0] for word in text.split() if word[0].isalnum())[:2].upper()
    canvas.text(50, 49, letters or "?", 26, "#fdf6ea")


def _chance(text: str) -> Random:
    """Chance that is the same for the same words, in every process."""
    return Random(hashlib.sha256(text.encode()).digest())  # noqa: S311 - it places seeds and leaves
