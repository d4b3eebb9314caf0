"""How each method that is served is called so that it succeeds. A method without a recipe fails the tests.

Every `recipes_*.py` beside this file is read, so a slice brings its own and changes no list.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.e2e.matrix.scenes import Recipe

RECIPES: Final[Mapping[str, Recipe]] = {
    method: recipe
    for path in sorted(Path(__file__).parent.glob("recipes_*.py"))
    for book in importlib.import_module(f"tests.e2e.matrix.{path.stem}").BOOKS
    for method, recipe in book.recipes.items()
}
