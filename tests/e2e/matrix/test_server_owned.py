"""What only the server may say (T21): a caller that says it all the same changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from marketd.kernel.masks import behaviours, settable
from marketd.transport.rules import Kind, Rule
from marketplace.auth.v1 import address_pb2, auth_service_pb2, user_pb2, user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_pb2, delivery_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.promotion.v1 import promotion_service_pb2
from marketplace.review.v1 import review_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2

from tests.e2e.matrix.recipes import RECIPES
from tests.e2e.matrix.recipes_goods import new_brand, new_category
from tests.e2e.matrix.recipes_identity import new_address
from tests.e2e.matrix.recipes_promotion import new_promo_code
from tests.e2e.matrix.scenes import caller_for
from tests.worlds.matrix import Market
from tests.worlds.observed import RULES, written
from tests.worlds.things import PASSWORD, Person, money, new_courier, new_key, new_product

INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
# What every change moves, whatever was changed; of a review also what it keeps of before.
MOVES = {"update_time", "etag", "edit_time", "revisions"}


@dataclass(frozen=True)
class Change:
    """A resource that its request carries whole: how to make one, who changes it, and how to read it again."""

    request: type[Any]
    resource: str
    make: Callable[[Market], Awaitable[Any]]
    read: Callable[[Any], Message]
    keeper: Callable[[Market], Person]
    identifier: str
    harmless: str

    @property
    def says_behaviours(self) -> bool:
        """Whether the resource says what each field is."""
        fields = self.request.DESCRIPTOR.fields_by_name[self.resource].message_type.fields
        return all(behaviours(field) for field in fields)

    @property
    def changeable(self) -> set[str]:
        """The paths that the contract lets a caller change."""
        if self.says_behaviours:
            return set(settable(self.request.DESCRIPTOR.fields_by_name[self.resource].message_type))
        options = self.request.DESCRIPTOR.fields_by_name["update_mask"].GetOptions()
        rules = options.Extensions[validate_pb2.field].field_mask
        return set(getattr(rules, "in"))

    @property
    def owned(self) -> list[str]:
        """What no mask may name."""
        return [name for name in self._kind.fields_by_name if name not in self.changeable]

    @property
    def ignored(self) -> list[str]:
        """The server's own fields of the resource, which may stand in it with any value."""
        given = {"etag", self.identifier}
        fields = [self._kind.fields_by_name[name] for name in self.owned if name not in given]
        return [field.name for field in fields if field_behavior_pb2.IMMUTABLE not in behaviours(field)]

    @property
    def _kind(self) -> Any:
        return self.request.DESCRIPTOR.fields_by_name[self.resource].message_type


async def _user(market: Market) -> user_pb2.User:
    """The buyer's account, under the name that it had at first."""
    buyer = user_pb2.User(user_id=market.buyer.user_id, full_name="Ada Lovelace")
    request = user_service_pb2.UpdateUserRequest(user=buyer)
    user: user_pb2.User = (await market.call(request, market.buyer)).user
    return user


async def _shop(market: Market) -> seller_pb2.Seller:
    """The shop, as its owner sees it."""
    request = seller_service_pb2.GetSellerRequest(seller_id=market.shop.seller_id)
    seller: seller_pb2.Seller = (await market.call(request, market.shop.owner)).seller
    return seller


async def _second_address(market: Market) -> address_pb2.SavedAddress:
    """An address that is not the default."""
    return [await new_address(market, market.buyer) for _ in range(2)][1]


async def _variant(market: Market) -> product_pb2.Variant:
    """The variant of a draft. Nothing gets one alone: an update of nothing shows it."""
    known = (await market.draft()).variants[0]
    request = catalog_service_pb2.UpdateVariantRequest(variant=product_pb2.Variant(variant_id=known.variant_id))
    variant: product_pb2.Variant = (await market.call(request, market.shop.owner)).variant
    return variant


CHANGES = {
    "category": Change(
        catalog_service_pb2.UpdateCategoryRequest,
        "category",
        new_category,
        lambda one: catalog_service_pb2.GetCategoryRequest(category_id=one.category_id),
        lambda market: market.admin,
        "category_id",
        "description",
    ),
    "brand": Change(
        catalog_service_pb2.UpdateBrandRequest,
        "brand",
        new_brand,
        lambda one: catalog_service_pb2.GetBrandRequest(brand_id=one.brand_id),
        lambda market: market.admin,
        "brand_id",
        "description",
    ),
    "product": Change(
        catalog_service_pb2.UpdateProductRequest,
        "product",
        lambda market: market.draft(),
        lambda one: catalog_service_pb2.GetProductRequest(product_id=one.product_id),
        lambda market: market.shop.owner,
        "product_id",
        "description",
    ),
    "variant": Change(
        catalog_service_pb2.UpdateVariantRequest,
        "variant",
        _variant,
        lambda one: catalog_service_pb2.UpdateVariantRequest(variant=product_pb2.Variant(variant_id=one.variant_id)),
        lambda market: market.shop.owner,
        "variant_id",
        "barcode",
    ),
    "user": Change(
        user_service_pb2.UpdateUserRequest,
        "user",
        _user,
        lambda one: user_service_pb2.GetUserRequest(user_id=one.user_id),
        lambda market: market.buyer,
        "user_id",
        "full_name",
    ),
    "address": Change(
        user_service_pb2.UpdateAddressRequest,
        "address",
        _second_address,
        lambda one: user_service_pb2.GetAddressRequest(address_id=one.address_id),
        lambda market: market.buyer,
        "address_id",
        "label",
    ),
    "seller": Change(
        seller_service_pb2.UpdateSellerRequest,
        "seller",
        _shop,
        lambda one: seller_service_pb2.GetSellerRequest(seller_id=one.seller_id),
        lambda market: market.shop.owner,
        "seller_id",
        "description",
    ),
    "promo_code": Change(
        promotion_service_pb2.UpdatePromoCodeRequest,
        "promo_code",
        new_promo_code,
        lambda one: promotion_service_pb2.GetPromoCodeRequest(promo_code_id=one.promo_code_id),
        lambda market: market.shop.owner,
        "promo_code_id",
        "description",
    ),
    "review": Change(
        review_service_pb2.UpdateReviewRequest,
        "review",
        lambda market: market.reviewed(),
        lambda one: review_service_pb2.GetReviewRequest(review_id=one.review_id),
        lambda market: market.author,
        "review_id",
        "text",
    ),
}


def lie(message: Any, names: Iterator[str] | list[str]) -> None:
    """Fill the named fields with values of their types that nobody asked for."""
    for name in names:
        field = message.DESCRIPTOR.fields_by_name[name]
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            getattr(message, name)["Size"] = "XXL"
        elif entry is not None:
            inner = getattr(message, name).add() if field.is_repeated else getattr(message, name)
            lie(inner, list(entry.fields_by_name))
        elif field.is_repeated:
            getattr(message, name).append(_value(field))
        else:
            setattr(message, name, _value(field))


def _value(field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_STRING:
        return new_key() if field.name.endswith(("_id", "_ids")) else "forged"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return True
    return 7


def test_every_request_with_a_mask_over_a_resource_is_tried() -> None:
    carriers = {
        name
        for rule in RULES.values()
        for name in [rule.method.rpartition("/")[2]]
        if rule.method.startswith("/marketplace.")
        and "update_mask" in rule.request.DESCRIPTOR.fields_by_name
        and any(field.message_type for field in rule.request.DESCRIPTOR.fields if field.name != "update_mask")
    }
    assert carriers == {f"Update{name.title().replace('_', '')}" for name in CHANGES}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", CHANGES)
async def test_a_mask_that_names_what_is_the_servers_is_refused(market: Market, name: str) -> None:
    change = CHANGES[name]
    made = await change.make(market)
    before = await market.contents(without=frozenset({"audit_entries"}))
    everything = () if change.says_behaviours else ("*",)
    for path in (
        *change.owned,
        *everything,
        f"{change.harmless}.more",
        f"{name}.{change.harmless}",
        "nothing_of_the_kind",
    ):
        resource = type(made)()
        setattr(resource, change.identifier, getattr(made, change.identifier))
        if path in change.owned:
            lie(resource, [path] if path != change.identifier else [])
        request = change.request(**{name: resource}, update_mask=FieldMask(paths=[path]))
        outcome = await market.ask(request, change.keeper(market))
        assert (outcome.code, outcome.reason) == INVALID, f"{path}: {outcome}"
    assert written(before, await market.contents(without=frozenset({"audit_entries"}))) == {}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", CHANGES)
async def test_lies_beside_a_change_have_no_effect(market: Market, name: str) -> None:
    change = CHANGES[name]
    made = await change.make(market)
    keeper = change.keeper(market)
    before = getattr(await market.call(change.read(made), keeper), name)
    resource = type(made)()
    lie(resource, change.ignored)
    setattr(resource, change.identifier, getattr(made, change.identifier))
    setattr(resource, change.harmless, "Changed")
    request = change.request(**{name: resource}, update_mask=FieldMask(paths=[change.harmless]))
    answered = getattr(await market.call(request, keeper), name)
    after = getattr(await market.call(change.read(made), keeper), name)
    assert answered == after
    assert getattr(after, change.harmless) == "Changed"
    differing = {
        field.name for field in after.DESCRIPTOR.fields if getattr(after, field.name) != getattr(before, field.name)
    }
    assert differing - MOVES == {change.harmless}


@pytest.mark.asyncio(loop_scope="session")
async def test_whoever_registers_is_a_buyer_and_nothing_more_whatever_comes_with_the_request(market: Market) -> None:
    request = auth_service_pb2.RegisterRequest(
        email=f"{secrets.token_hex(8)}@example.com", password=PASSWORD, full_name="Eve"
    )
    # The fields that the answer's account has, sent along with numbers that the request does not know.
    claimed = user_pb2.User(roles=[policy_pb2.ROLE_ADMIN], email_verified=True, phone_verified=True, totp_enabled=True)
    # Numbers that the two messages share would be the request's own fields.
    for field in user_pb2.User.DESCRIPTOR.fields:
        if field.number in auth_service_pb2.RegisterRequest.DESCRIPTOR.fields_by_number:
            claimed.ClearField(field.name)  # type: ignore[arg-type]
    raw = request.SerializeToString() + claimed.SerializeToString()
    spoofed = (("x-roles", "ADMIN"), ("x-user-id", market.admin.user_id), ("roles", "ADMIN"))
    outcome = await market.send("/marketplace.auth.v1.AuthService/Register", raw, metadata=spoofed)
    answer = auth_service_pb2.RegisterResponse.FromString(outcome.answers[0])
    token = answer.tokens.access_token
    read = await market.send_as(
        token,
        "/marketplace.auth.v1.UserService/GetUser",
        user_service_pb2.GetUserRequest(user_id="me"),
        metadata=spoofed,
    )
    user = user_service_pb2.GetUserResponse.FromString(read.answers[0]).user
    assert user == answer.user
    assert list(user.roles) == [policy_pb2.ROLE_BUYER]
    assert (user.state, user.email_verified, user.phone_verified) == (user_pb2.USER_STATE_ACTIVE, False, False)
    assert user.user_id != market.admin.user_id


@pytest.mark.asyncio(loop_scope="session")
async def test_a_new_product_is_a_draft_without_ratings_at_the_price_of_its_variants(market: Market) -> None:
    request = new_product()
    claimed = product_pb2.Product(state=product_pb2.PRODUCT_STATE_PUBLISHED, price=money(1), product_id=new_key())
    claimed.rating.count = 5000
    claimed.rating.average = 5
    request.product.MergeFrom(claimed)
    product = (await market.call(request, market.shop.owner)).product
    assert product.state == product_pb2.PRODUCT_STATE_DRAFT
    assert product.product_id != claimed.product_id
    assert product.rating.count == 0
    assert not product.rating.HasField("average")
    assert (product.price.units, product.price.nanos) == (12, 500_000_000)
    assert product.seller_id == market.shop.seller_id


@pytest.mark.asyncio(loop_scope="session")
async def test_who_applies_as_a_courier_is_pending_whatever_the_application_claims(market: Market) -> None:
    applicant, request = await market.register(), new_courier()
    claimed = courier_pb2.Courier(
        courier_id=new_key(),
        user_id=market.admin.user_id,
        state=courier_pb2.COURIER_STATE_ACTIVE,
        on_shift=True,
        completed_deliveries=900,
        etag="v99",
    )
    claimed.rating.count = 5000
    claimed.approve_time.GetCurrentTime()
    request.courier.MergeFrom(claimed)
    made = (await market.call(request, applicant)).courier
    assert made.state == courier_pb2.COURIER_STATE_PENDING
    assert made.courier_id != claimed.courier_id
    assert made.user_id == applicant.user_id
    assert made.etag != claimed.etag
    assert not made.on_shift
    assert not made.HasField("approve_time")
    assert (made.completed_deliveries, made.rating.count) == (0, 0)


@pytest.mark.asyncio(loop_scope="session")
async def test_the_buyers_idea_of_the_price_is_only_compared(market: Market) -> None:
    buyer, request = await market.quoted()
    right = request.expected_total.units
    before = await market.contents()
    for units in (0, 1, right - 1, right + 1):
        request.expected_total.units = units
        outcome = await market.ask(request, buyer)
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PRICE_CHANGED")
    request.expected_total.CopyFrom(money(right))
    request.expected_total.currency_code = "XTS"
    assert (await market.ask(request, buyer)).reason == "VALIDATION_FAILED"
    assert written(before, await market.contents()) == {}


@pytest.mark.asyncio(loop_scope="session")
async def test_no_more_goes_back_than_was_paid(market: Market) -> None:
    trip = await market.paid()
    total = trip.group.total.units
    for by in (market.admin, trip.shop.owner):
        request = payment_service_pb2.RefundPaymentRequest(
            request_id=new_key(),
            payment_id=trip.payment_id,
            order=payment_service_pb2.OrderRefund(order_id=trip.order_id, amount=money(total + 1)),
        )
        outcome = await market.ask(request, by)
        assert outcome.code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT), outcome
    paid = await market.call(payment_service_pb2.GetPaymentRequest(payment_id=trip.payment_id), trip.buyer)
    assert not paid.payment.refunds


@pytest.mark.asyncio(loop_scope="session")
async def test_a_courier_says_when_only_between_the_last_step_and_now(market: Market) -> None:
    trip = await market.assigned()
    assert trip.rider is not None

    def pick_up(seconds: int) -> Message:
        return delivery_service_pb2.PickUpDeliveryRequest(
            request_id=new_key(), delivery_id=trip.delivery_id, occurred_time=Timestamp(seconds=seconds)
        )

    now = Timestamp()
    now.GetCurrentTime()
    ahead = await market.ask(pick_up(now.seconds + 3600), trip.rider.person)
    assert (ahead.code, ahead.reason) == INVALID
    get = delivery_service_pb2.GetDeliveryRequest(delivery_id=trip.delivery_id)
    assign_time = (await market.call(get, trip.rider.person)).delivery.assign_time
    for early in (1, assign_time.seconds - 61):
        before = await market.ask(pick_up(early), trip.rider.person)
        assert (before.code, before.reason) == INVALID
    delivery = (await market.call(pick_up(assign_time.seconds - 50), trip.rider.person)).delivery
    assert delivery.pick_up_time == assign_time
    order = (await market.call(order_service_pb2.GetOrderRequest(order_id=trip.order_id), trip.buyer)).order
    assert order.out_for_delivery_time.seconds >= assign_time.seconds


def _owned_of(message: Any) -> list[str]:
    """The fields of a message that only the server says."""
    return [field.name for field in message.fields if field_behavior_pb2.OUTPUT_ONLY in behaviours(field)]


def _carrier(rule: Rule) -> str:
    """The request's field with a resource in which something is the server's; empty when there is none."""
    for field in rule.request.DESCRIPTOR.fields:
        message = field.message_type
        if message is not None and not field.is_repeated and _owned_of(message):
            return str(field.name)
    return ""


CARRIERS = {rule.method: _carrier(rule) for rule in RULES.values() if rule.kind is Kind.UNARY and _carrier(rule)}


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("method", sorted(CARRIERS))
async def test_what_only_the_server_says_is_not_read_in_whatever_carries_a_resource(
    market: Market, method: str
) -> None:
    scene = await RECIPES[method].prepare(market, caller_for(RECIPES[method]))
    resource = getattr(request := scene.bodies[0], CARRIERS[method])
    named = {f"{CARRIERS[method]}_id"} if method.rpartition("/")[2].startswith("Update") else set()
    owned = [name for name in _owned_of(resource.DESCRIPTOR) if name not in named]
    lie(resource, owned)
    outcome = await market.send(method, request, by=scene.caller)
    assert outcome.code is grpc.StatusCode.OK, outcome
    answered: Any = RULES[method].response.FromString(outcome.answers[0])
    told = getattr(answered, CARRIERS[method], None)
    if told is None:  # the cart that the line is in
        (told,) = answered.cart.items
    believed = [
        name
        for name in owned
        if resource.DESCRIPTOR.fields_by_name[name].type == FieldDescriptor.TYPE_STRING
        and not resource.DESCRIPTOR.fields_by_name[name].is_repeated
        and getattr(told, name) == getattr(resource, name)
    ]
    assert believed == []
