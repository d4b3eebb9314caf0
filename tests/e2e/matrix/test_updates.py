"""Updates of every resource: stale etags are refused, nothing new changes nothing, and what may be cleared is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.api import field_behavior_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from marketd.kernel.masks import behaviours, has_value, settable

from tests.e2e.matrix.recipes_goods import new_brand, new_category
from tests.e2e.matrix.test_server_owned import CHANGES, Change
from tests.worlds.matrix import Market
from tests.worlds.observed import written
from tests.worlds.things import new_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUIET = frozenset({"audit_entries"})
Sample = Callable[[Market], Awaitable[Any]]


async def _category(market: Market) -> str:
    return str((await new_category(market)).category_id)


async def _brand(market: Market) -> str:
    return str((await new_brand(market)).brand_id)


# What a field takes that does not take any word.
REFERENCES: dict[str, Sample] = {
    "parent_category_id": _category,
    "category_id": _category,
    "brand_id": _brand,
}
WORDS = {"phone": "+491701234567", "language_code": "de", "slug": None}


async def sample(market: Market, name: str, field: Any) -> Any:
    """A value that the field may have; None when the test knows none."""
    if field.name in REFERENCES:
        return await REFERENCES[field.name](market)
    if field.name in WORDS:
        return WORDS[field.name]
    if field.type == field.TYPE_STRING and not field.is_repeated:
        return "Something"
    return None


def whole(change: Change, made: Any, **fields: Any) -> Any:
    """The resource by its id alone, with these fields."""
    return type(made)(**{change.identifier: getattr(made, change.identifier), **fields})


async def read(market: Market, change: Change, name: str, made: Any) -> Any:
    return getattr(await market.call(change.read(made), change.keeper(market)), name)


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_given_back_as_it_was_read_changes_nothing(market: Market, name: str) -> None:
    change = CHANGES[name]
    made = await change.make(market)
    known = await read(market, change, name, made)
    assert known.etag
    before = await market.contents(without=QUIET)
    for paths in ([], ["*"], [change.harmless]):
        request = change.request(**{name: known}, update_mask=FieldMask(paths=paths))
        assert getattr(await market.call(request, change.keeper(market)), name) == known, paths
    assert written(before, await market.contents(without=QUIET)) == {}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_stale_resource_is_refused_with_the_etag_that_it_has_now(market: Market, name: str) -> None:
    change = CHANGES[name]
    keeper = change.keeper(market)
    made = await change.make(market)
    known = await read(market, change, name, made)
    changed = change.request(**{name: whole(change, made, **{change.harmless: f"A{new_key()[:8]}"})})
    now = getattr(await market.call(changed, keeper), name)
    assert now.etag != known.etag
    for paths in ([], ["*"], [change.harmless]):
        outcome = await market.ask(change.request(**{name: known}, update_mask=FieldMask(paths=paths)), keeper)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH"), paths
        (info,) = outcome.all_of(error_details_pb2.ErrorInfo)
        assert info.metadata["etag"] == now.etag
    assert await read(market, change, name, made) == now


def clearable(change: Change, name: str) -> list[Any]:
    resource = change.request.DESCRIPTOR.fields_by_name[name].message_type
    fields = [resource.fields_by_name[each] for each in settable(resource)]
    return [field for field in fields if field_behavior_pb2.REQUIRED not in behaviours(field)]


CLEARED = [
    pytest.param(name, field.name, id=f"{name}.{field.name}")
    for name, change in CHANGES.items()
    for field in clearable(change, name)
    if field.message_type is None
    and not field.is_repeated
    and field.type == field.TYPE_STRING
    # What is empty of these is made, or what the marketplace has for all.
    and field.name not in ("slug", "time_zone")
]


@pytest.mark.parametrize(("name", "field_name"), CLEARED)
async def test_a_field_is_cleared_by_saying_that_it_is_empty(market: Market, name: str, field_name: str) -> None:
    change = CHANGES[name]
    keeper = change.keeper(market)
    made = await change.make(market)
    field = made.DESCRIPTOR.fields_by_name[field_name]
    assert field.has_presence, "a scalar that may be cleared is optional"
    value = await sample(market, name, field)
    for paths in ([], [field_name]):
        filled = change.request(**{name: whole(change, made, **{field_name: value})})
        assert getattr(getattr(await market.call(filled, keeper), name), field_name) == value
        emptied = change.request(
            **{name: whole(change, made, **{} if paths else {field_name: ""})}, update_mask=FieldMask(paths=paths)
        )
        cleared = getattr(await market.call(emptied, keeper), name)
        assert not getattr(cleared, field_name), paths
        assert getattr(await read(market, change, name, made), field_name) == ""
        assert not has_value(cleared, field)


async def test_a_number_is_cleared_by_zero_and_a_list_by_naming_it(market: Market) -> None:
    category, keeper = CHANGES["category"], CHANGES["category"].keeper(market)
    made = await category.make(market)
    for position in (3, 0):
        request = category.request(category=whole(category, made, position=position))
        assert (await market.call(request, keeper)).category.position == position
    product, keeper = CHANGES["product"], CHANGES["product"].keeper(market)
    made = await product.make(market)
    tagged = product.request(product=whole(product, made, tags=["new", "red"]))
    assert list((await market.call(tagged, keeper)).product.tags) == ["new", "red"]
    silent = product.request(product=whole(product, made, description="Tags are not spoken of."))
    assert list((await market.call(silent, keeper)).product.tags) == ["new", "red"]
    emptied = product.request(product=whole(product, made), update_mask=FieldMask(paths=["tags"]))
    assert not (await market.call(emptied, keeper)).product.tags
