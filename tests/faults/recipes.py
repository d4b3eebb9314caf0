"""How each rpc that needs a request id is brought to the point of being called, and in which unit of work it answers.

The tests take the methods from the contract's descriptors; a method that is not here fails them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.type import money_pb2
from marketd.kernel.db.failpoints import Failpoint
from marketplace.auth.v1 import user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2
from marketplace.review.v1 import review_pb2, review_service_pb2

from tests.worlds.faults import World
from tests.worlds.lines import Account, Lines, as_role, open_guest_cart, register
from tests.worlds.things import CURRENCY, new_courier, new_key, new_product, new_shop, payment


@dataclass(frozen=True)
class Scene:
    """Everything is ready; this is who calls and with what."""

    account: Account
    request: Any


@dataclass(frozen=True)
class Recipe:
    """`unit` is the unit of work that commits the effect with the stored answer.

    `steps` are further places where a crash leaves a part done: (point, unit of work) before the answer's.
    """

    unit: str
    prepare: Callable[[World, Lines], Awaitable[Scene]]
    steps: tuple[tuple[Failpoint, str], ...] = ()


async def _set_user_roles(world: World, lines: Lines) -> Scene:
    account = await register(lines)
    request = user_service_pb2.SetUserRolesRequest(
        request_id=new_key(),
        user_id=account.user_id,
        roles=[policy_pb2.ROLE_BUYER, policy_pb2.ROLE_COURIER],
        reason="rides",
    )
    return Scene(world.admin, request)


async def _create_seller(world: World, lines: Lines) -> Scene:
    return Scene(await register(lines), new_shop())


async def _create_product(world: World, lines: Lines) -> Scene:
    return Scene(world.seller, new_product(3))


async def _create_promo_code(world: World, lines: Lines) -> Scene:
    code = promo_code_pb2.PromoCode(
        code=f"C-{new_key()[:13]}",
        kind=promo_code_pb2.PROMO_CODE_KIND_FIXED,
        amount=money_pb2.Money(currency_code=CURRENCY, units=5),
    )
    return Scene(world.seller, promotion_service_pb2.CreatePromoCodeRequest(request_id=new_key(), promo_code=code))


async def _upsert_variants(world: World, lines: Lines) -> Scene:
    request = new_product(3)
    request.product.ClearField("variants")
    made = (await as_role(lines, world.seller, request)).product
    item = catalog_service_pb2.VariantUpsert(
        product_id=made.product_id, variant=product_pb2.Variant(sku=new_key()), source_version=1
    )
    return Scene(world.seller, catalog_service_pb2.BatchUpsertVariantsRequest(request_id=new_key(), items=[item]))


async def _set_stock(world: World, lines: Lines) -> Scene:
    variant = await world.product(lines, 3)
    request = inventory_service_pb2.SetStockRequest(
        request_id=new_key(), variant_id=variant.variant_id, quantity=7, reason="counted"
    )
    return Scene(world.seller, request)


async def _adjust_stock(world: World, lines: Lines) -> Scene:
    variant = await world.product(lines, 3)
    request = inventory_service_pb2.AdjustStockRequest(
        request_id=new_key(), variant_id=variant.variant_id, delta=4, reason="found"
    )
    return Scene(world.seller, request)


async def _place_order(world: World, lines: Lines) -> Scene:
    buyer = await register(lines)
    variants = [(await world.product(lines, 3), 2), (await world.product(lines, 3), 1)]
    return Scene(buyer, await world.quoted(lines, buyer, variants))


async def _placed(world: World, lines: Lines) -> tuple[Account, order_pb2.OrderGroup]:
    buyer = await register(lines)
    return buyer, await world.placed(lines, buyer, await world.product(lines, 3), 2)


async def _paid(world: World, lines: Lines) -> tuple[Account, order_pb2.OrderGroup]:
    buyer = await register(lines)
    return buyer, await world.paid(lines, buyer, await world.product(lines, 3), 2)


async def _cancel_order(world: World, lines: Lines) -> Scene:
    buyer, group = await _paid(world, lines)
    request = order_service_pb2.CancelOrderRequest(
        request_id=new_key(), order_id=group.orders[0].order_id, reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND
    )
    return Scene(buyer, request)


async def _create_payment(world: World, lines: Lines) -> Scene:
    buyer, group = await _placed(world, lines)
    request = payment_service_pb2.CreatePaymentRequest(request_id=new_key(), order_group_id=group.order_group_id)
    return Scene(buyer, request)


async def _confirm_payment(world: World, lines: Lines) -> Scene:
    buyer, group = await _placed(world, lines)
    return Scene(buyer, payment(group))


async def _refund_payment(world: World, lines: Lines) -> Scene:
    _, group = await _paid(world, lines)
    request = payment_service_pb2.RefundPaymentRequest(
        request_id=new_key(),
        payment_id=group.payment.payment_id,
        order=payment_service_pb2.OrderRefund(
            order_id=group.orders[0].order_id, amount=money_pb2.Money(currency_code=CURRENCY, units=5)
        ),
        reason="a scratch",
    )
    return Scene(world.admin, request)


async def _create_review(world: World, lines: Lines) -> Scene:
    courier, buyer, delivery_id = await _picked_up(world, lines)
    complete = delivery_service_pb2.CompleteDeliveryRequest(
        request_id=new_key(), delivery_id=delivery_id, code=await world.code(lines, buyer, delivery_id)
    )
    delivery = (await as_role(lines, courier, complete)).delivery
    order = (await lines.settled(buyer, order_service_pb2.GetOrderRequest(order_id=delivery.order_id))).order
    review = review_pb2.Review(
        kind=review_pb2.REVIEW_KIND_PRODUCT, order_item_id=order.items[0].item_id, rating=5, text="Good."
    )
    return Scene(buyer, review_service_pb2.CreateReviewRequest(request_id=new_key(), review=review))


async def _create_courier(world: World, lines: Lines) -> Scene:
    return Scene(await register(lines), new_courier())


async def _start_shift(world: World, lines: Lines) -> Scene:
    account, _ = await world.courier(lines)
    await lines.settled(account, courier_service_pb2.EndShiftRequest(request_id=new_key()))
    return Scene(account, courier_service_pb2.StartShiftRequest(request_id=new_key()))


async def _end_shift(world: World, lines: Lines) -> Scene:
    account, _ = await world.courier(lines)
    return Scene(account, courier_service_pb2.EndShiftRequest(request_id=new_key()))


async def _pick_up(world: World, lines: Lines) -> Scene:
    courier, courier_id = await world.courier(lines)
    buyer = await register(lines)
    delivery = await world.assigned(lines, buyer, await world.product(lines, 3), courier_id)
    request = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=delivery.delivery_id)
    return Scene(courier, request)


async def _merge_carts(world: World, lines: Lines) -> Scene:
    buyer, goods = await register(lines), await world.product(lines, 3)
    guest = await open_guest_cart(lines)
    await as_role(lines, guest, cart_service_pb2.AddCartItemRequest(variant_id=goods.variant_id, quantity=2))
    return Scene(buyer, cart_service_pb2.MergeCartsRequest(request_id=new_key(), guest_token=guest.token))


async def _picked_up(world: World, lines: Lines) -> tuple[Account, Account, str]:
    """The courier, the buyer, and the delivery's id."""
    courier, courier_id = await world.courier(lines)
    buyer = await register(lines)
    delivery = await world.assigned(lines, buyer, await world.product(lines, 3), courier_id)
    pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=delivery.delivery_id)
    await as_role(lines, courier, pick_up)
    return courier, buyer, delivery.delivery_id


async def _complete(world: World, lines: Lines) -> Scene:
    courier, buyer, delivery_id = await _picked_up(world, lines)
    request = delivery_service_pb2.CompleteDeliveryRequest(
        request_id=new_key(), delivery_id=delivery_id, code=await world.code(lines, buyer, delivery_id)
    )
    return Scene(courier, request)


async def _fail(world: World, lines: Lines) -> Scene:
    courier, _, delivery_id = await _picked_up(world, lines)
    request = delivery_service_pb2.FailDeliveryRequest(
        request_id=new_key(), delivery_id=delivery_id, reason=delivery_pb2.DELIVERY_FAILURE_REASON_LOST
    )
    return Scene(courier, request)


async def _return(world: World, lines: Lines) -> Scene:
    courier, _, delivery_id = await _picked_up(world, lines)
    request = delivery_service_pb2.ReturnToSellerRequest(
        request_id=new_key(), delivery_id=delivery_id, reason=delivery_pb2.DELIVERY_FAILURE_REASON_REFUSED
    )
    return Scene(courier, request)


RECIPES: Final[Mapping[str, Recipe]] = {
    "/marketplace.auth.v1.UserService/SetUserRoles": Recipe("user.set_roles", _set_user_roles),
    "/marketplace.seller.v1.SellerService/CreateSeller": Recipe("seller.create", _create_seller),
    "/marketplace.catalog.v1.CatalogService/CreateProduct": Recipe("catalog.create_product", _create_product),
    "/marketplace.catalog.v1.CatalogService/BatchUpsertVariants": Recipe("catalog.upsert_variants", _upsert_variants),
    "/marketplace.inventory.v1.InventoryService/SetStock": Recipe("inventory.set_stock", _set_stock),
    "/marketplace.inventory.v1.InventoryService/AdjustStock": Recipe("inventory.adjust_stock", _adjust_stock),
    "/marketplace.cart.v1.CartService/MergeCarts": Recipe("cart.merge", _merge_carts),
    "/marketplace.promotion.v1.PromotionService/CreatePromoCode": Recipe("promotion.create", _create_promo_code),
    "/marketplace.order.v1.OrderService/PlaceOrder": Recipe("order.place", _place_order),
    "/marketplace.order.v1.OrderService/CancelOrder": Recipe("order.cancel", _cancel_order),
    "/marketplace.payment.v1.PaymentService/CreatePayment": Recipe("payment.create", _create_payment),
    "/marketplace.payment.v1.PaymentService/ConfirmPayment": Recipe(
        "payment.confirm",
        _confirm_payment,
        (
            (Failpoint.AFTER_COMMIT, "payment.begin"),
            (Failpoint.BEFORE_COMMIT, "sandbox.confirm"),
            (Failpoint.AFTER_COMMIT, "sandbox.confirm"),
        ),
    ),
    "/marketplace.payment.v1.PaymentService/RefundPayment": Recipe(
        "payment.refund",
        _refund_payment,
        ((Failpoint.AFTER_COMMIT, "payment.begin_refund"), (Failpoint.AFTER_COMMIT, "sandbox.refund")),
    ),
    "/marketplace.review.v1.ReviewService/CreateReview": Recipe("review.create", _create_review),
    "/marketplace.delivery.v1.CourierService/CreateCourier": Recipe("courier.create", _create_courier),
    "/marketplace.delivery.v1.CourierService/StartShift": Recipe("courier.start_shift", _start_shift),
    "/marketplace.delivery.v1.CourierService/EndShift": Recipe("courier.end_shift", _end_shift),
    "/marketplace.delivery.v1.DeliveryService/PickUpDelivery": Recipe("delivery.pick_up", _pick_up),
    "/marketplace.delivery.v1.DeliveryService/FailDelivery": Recipe("delivery.fail", _fail),
    "/marketplace.delivery.v1.DeliveryService/ReturnToSeller": Recipe("delivery.return", _return),
    "/marketplace.delivery.v1.DeliveryService/CompleteDelivery": Recipe(
        "delivery.complete", _complete, ((Failpoint.AFTER_COMMIT, "delivery.judge_code"),)
    ),
}
