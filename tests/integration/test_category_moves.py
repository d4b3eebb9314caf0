"""Moving a part of the tree of categories: it stays a tree of bounded depth, and lists follow it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from marketd.catalog.model import MAX_CATEGORY_DEPTH
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1.category_pb2 import Category

from tests.worlds.built import Built
from tests.worlds.goods import Goods
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it


class Tree:
    """The categories of a marketplace, as its admin moves them."""

    def __init__(self, tx: Transactor) -> None:
        self.goods = Goods(tx)
        self.parts = make_parts(tx)
        self.catalog = Built(self.parts, "catalog").servicer(CatalogServicer)
        calls.enter(Call(caller=self.goods.admin))

    async def make(self, *names: str, below: str = "") -> list[str]:
        """A chain of new categories, each below the one before; their ids."""
        made: list[str] = []
        for name in names:
            category = Category(name=name, parent_category_id=below or None)
            answer = await self.catalog.CreateCategory(pb.CreateCategoryRequest(category=category), CONTEXT)
            below = answer.category.category_id
            made.append(below)
        return made

    async def move(self, category_id: str, below: str) -> Category:
        """Move a category below another one, or to the top."""
        request = pb.UpdateCategoryRequest(
            category=Category(category_id=category_id, parent_category_id=below),
            update_mask=FieldMask(paths=["parent_category_id"]),
        )
        return (await self.catalog.UpdateCategory(request, CONTEXT)).category

    async def above(self, category_id: str) -> list[str]:
        answer = await self.catalog.GetCategory(pb.GetCategoryRequest(category_id=category_id), CONTEXT)
        return list(answer.category.ancestor_ids)

    async def listed(self, category_id: str) -> list[str]:
        """The products of a category and of all below it."""
        answer = await self.catalog.ListProducts(pb.ListProductsRequest(category_ids=[category_id]), CONTEXT)
        return [product.product_id for product in answer.products]


@pytest.fixture
def tree(tx: Transactor) -> Tree:
    return Tree(tx)


async def test_two_parts_of_the_tree_that_are_moved_below_each_other_at_once_make_no_circle(tree: Tree) -> None:
    # Each is allowed by what it read; only a lock tells the later one of the other.
    for turn in range(5):
        one, below_one = await tree.make(f"One {turn}", f"Below one {turn}")
        two, below_two = await tree.make(f"Two {turn}", f"Below two {turn}")
        moves = await asyncio.gather(tree.move(one, below_two), tree.move(two, below_one), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in moves) == ["Category", "ValidationFailed"]
        chains = [await tree.above(below_one), await tree.above(below_two)]
        assert sorted(map(len, chains)) == [1, 3]


async def test_a_moved_part_counts_to_its_deepest_level(tree: Tree) -> None:
    deep = await tree.make(*(f"Level {level}" for level in range(MAX_CATEGORY_DEPTH - 2)))
    top, middle, _ = await tree.make("Top", "Middle", "Leaf")
    with pytest.raises(ValidationFailed) as refused:
        await tree.move(top, deep[-1])
    assert [each.field for each in refused.value.fields] == ["category.parent_category_id"]
    assert len((await tree.move(middle, deep[-1])).ancestor_ids) == MAX_CATEGORY_DEPTH - 2
    await tree.move(top, deep[-1])


async def test_lists_and_kept_answers_follow_a_moved_part(tree: Tree) -> None:
    dropped: list[bytes] = []
    tree.parts.broadcast.subscribe("answers", dropped.append)
    kitchen, _, mugs = await tree.make("Kitchen", "Cups", "Mugs")
    (garden,) = await tree.make("Garden")
    variant_id = await tree.goods.variant(await tree.goods.shop())
    product_id = str(await tree.goods.value("SELECT product_id FROM variants WHERE variant_id = $1", variant_id))
    await tree.goods.execute("UPDATE products SET category_id = $1", UUID(mugs))
    calls.enter(Call(caller=tree.goods.admin))
    assert (await tree.listed(kitchen), await tree.listed(garden)) == ([product_id], [])
    dropped.clear()
    moved = await tree.move((await tree.above(mugs))[-1], garden)
    assert b"catalog" in dropped, "what any worker keeps of lists is not true any more"
    assert list(moved.ancestor_ids) == [garden]
    assert (await tree.listed(kitchen), await tree.listed(garden)) == ([], [product_id])
    assert await tree.above(mugs) == [garden, moved.category_id]
    await tree.move(garden, kitchen)
    assert await tree.listed(kitchen) == [product_id]
