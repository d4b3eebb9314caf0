"""PATCH: a body alone changes what it has, a mask clears too, and whatever may be cleared is cleared by REST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from marketplace.media.v1 import media_pb2

from tests.e2e.matrix.test_server_owned import CHANGES, MOVES
from tests.e2e.matrix.test_updates import CLEARED, clearable, sample
from tests.worlds.bindings import bindings, camel
from tests.worlds.gateway import RunningGateway
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Picture:
    """One that has to be uploaded first."""

    purpose: media_pb2.MediaPurpose.ValueType


OWN_SHOP: Final = "with the id of the shop"
TEXTS: Final = [(str(name), str(field)) for name, field in (case.values for case in CLEARED)]
SPAN = {"openTime": {"hours": 9}, "closeTime": {"hours": 17}}
OTHERS: Final[Mapping[tuple[str, str], Any]] = {
    ("category", "position"): 3,
    ("category", "tax_rate"): {"value": "0.07"},
    ("category", "image"): Picture(media_pb2.MEDIA_PURPOSE_CATEGORY),
    ("product", "tags"): ["new", "red"],
    ("product", "attributes"): {"Color": "red"},
    ("variant", "compare_at_price"): {"currencyCode": "EUR", "units": "20"},
    ("variant", "weight_grams"): 500,
    ("seller", "logo"): Picture(media_pb2.MEDIA_PURPOSE_SHOP),
    ("seller", "contact"): {"email": "shop@example.com"},
    ("review", "media_ids"): [Picture(media_pb2.MEDIA_PURPOSE_REVIEW)],
    ("seller", "opening_hours"): [{"day": "MONDAY", **SPAN}],
    ("promo_code", "scope"): OWN_SHOP,
    ("promo_code", "min_subtotal"): {"currencyCode": "EUR", "units": "20"},
    ("promo_code", "max_discount"): {"currencyCode": "EUR", "units": "20"},
    ("promo_code", "window"): {"startTime": "2026-01-01T00:00:00Z"},
    ("promo_code", "usage_limit"): 500,
    ("promo_code", "per_user_limit"): 5,
    ("seller", "opening_exceptions"): [{"date": {"year": 2028, "month": 1, "day": 2}, "closed": True}],
}
"""A value in JSON of what is no text."""
KEPT: Final = {
    **dict.fromkeys([("category", "slug"), ("brand", "slug"), ("product", "slug")], "made of the title or the name"),
    ("seller", "time_zone"): "the marketplace's",
    ("seller", "prep_duration"): "the marketplace's",
    ("product", "option_names"): "those of its variants",
    ("variant", "options"): "they tell it from the others",
    ("variant", "price"): "there is always one",
    ("variant", "stock_policy"): "there is always one",
    ("variant", "active"): "yes or no",
    ("variant", "requires_shipping"): "yes or no",
    ("address", "primary"): "yes or no",
    ("promo_code", "percent"): "its kind needs it",
    ("promo_code", "amount"): "its kind needs it",
    ("promo_code", "first_order_only"): "yes or no",
    ("promo_code", "stackable"): "yes or no",
}
"""What is never empty, and what it is then."""


@dataclass(frozen=True)
class Patch:
    """A resource at its address."""

    gateway: RunningGateway
    path: str
    name: str
    token: str

    async def __call__(self, body: dict[str, Any], mask: str = "") -> dict[str, Any]:
        """The resource as the PATCH answers it."""
        path = f"{self.path}?updateMask={mask}" if mask else self.path
        status, _, raw = await self.gateway.fetch(
            path, body, method="PATCH", headers={"authorization": f"Bearer {self.token}"}
        )
        assert status == 200, (body, mask, raw)
        resource: dict[str, Any] = json.loads(raw)[camel(self.name)]
        return resource


async def patch_of(market: Market, gateway: RunningGateway, name: str) -> Patch:
    """A resource of this kind, made for the test."""
    change = CHANGES[name]
    made = await change.make(market)
    (rule,) = (rule for rule in RULES.values() if rule.request is change.request)
    (binding,) = bindings(rule)
    path = binding.path.replace(f"{{{name}.{change.identifier}}}", getattr(made, change.identifier))
    return Patch(gateway, path, name, change.keeper(market).token)


async def test_the_tables_have_everything_that_may_be_cleared() -> None:
    all_of_them = {(name, field.name) for name, change in CHANGES.items() for field in clearable(change, name)}
    assert all_of_them == {*TEXTS, *OTHERS, *KEPT}
    assert len(all_of_them) == len(TEXTS) + len(OTHERS) + len(KEPT)


@pytest.mark.parametrize("name", CHANGES)
async def test_every_field_is_cleared_by_a_mask_and_a_scalar_by_its_empty_value_too(
    market: Market, market_gateway: RunningGateway, name: str
) -> None:
    patch = await patch_of(market, market_gateway, name)
    for field, value, ways in await _cases(market, name):
        for body, mask in ways:
            filled = await patch({camel(field): value})
            assert filled[camel(field)], field
            cleared = await patch(body, mask)
            assert not cleared.get(camel(field)), (field, body, mask)


async def _cases(market: Market, name: str) -> list[tuple[str, Any, list[tuple[dict[str, Any], str]]]]:
    """Field, value, and the bodies with masks that clear it."""
    cases: list[tuple[str, Any, list[tuple[dict[str, Any], str]]]] = []
    resource: Any = CHANGES[name].request.DESCRIPTOR.fields_by_name[name].message_type
    for field in (field for of, field in TEXTS if of == name):
        value = await sample(market, field, resource.fields_by_name[field])
        cases.append((field, value, [({}, camel(field)), ({camel(field): ""}, ""), ({camel(field): ""}, field)]))
    for field, value in ((field, value) for (of, field), value in OTHERS.items() if of == name):
        ways: list[tuple[dict[str, Any], str]] = [({}, camel(field))]
        if isinstance(value, Picture):
            value = {"mediaId": await market.upload(CHANGES[name].keeper(market), value.purpose)}
        elif value == OWN_SHOP:
            value = {"sellerIds": [market.shop.seller_id]}
        elif isinstance(value, list) and isinstance(value[0], Picture):
            value = [await market.upload(CHANGES[name].keeper(market), value[0].purpose)]
        elif isinstance(value, int):
            ways.append(({camel(field): 0}, ""))
        cases.append((field, value, ways))
    return cases


@pytest.mark.parametrize("name", CHANGES)
async def test_a_body_alone_changes_what_it_has_and_null_says_nothing(
    market: Market, market_gateway: RunningGateway, name: str
) -> None:
    patch, harmless = await patch_of(market, market_gateway, name), camel(CHANGES[name].harmless)
    before = await patch({})
    changed = await patch({harmless: "Something else"})
    moves = {harmless, *map(camel, MOVES)}
    assert changed == {**before, **{key: changed[key] for key in moves if key in changed}}
    assert changed[harmless] == "Something else"
    assert await patch({harmless: None}) == changed
    assert await patch(changed) == changed, "what was read may be sent back as it is"
