"""How each method that is served is called so that it succeeds. A method without a recipe fails the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.e2e.matrix import recipes_goods, recipes_identity, recipes_orders, recipes_people
from tests.e2e.matrix.scenes import Recipe

RECIPES: Final[Mapping[str, Recipe]] = {
    method: recipe
    for room in (recipes_people, recipes_identity, recipes_goods, recipes_orders)
    for book in room.BOOKS
    for method, recipe in book.recipes.items()
}
