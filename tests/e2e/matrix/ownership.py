"""Whose every id in a request is: a case that asks with somebody else's, or the reason why there is no such thing.

The tests take the fields from the descriptors, so a new field with an id must be written down here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from marketplace.auth.v1 import user_service_pb2
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2

from tests.e2e.matrix.ownership_cases import (
    Owned,
    address,
    cancelled_item,
    cart_item,
    completed,
    create_product,
    create_variant,
    delivery,
    draft,
    filtered,
    order,
    pending_handle,
    pending_seller,
    plain,
    private_media,
    quoted_address,
    refunded_order,
    refunded_payment,
    session,
    update_address,
    update_product,
    update_seller,
    update_user,
    update_variant,
    upserted,
)
from tests.e2e.matrix.ownership_pictures import PICTURES
from tests.e2e.matrix.ownership_promotion import PROMOTIONS
from tests.e2e.matrix.ownership_reviews import REVIEWS
from tests.e2e.matrix.recipes_goods import csv_file, inline_import, streamed_import
from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD, new_key

OWN_KEY: Final = "the caller makes it up, and it is only ever looked up together with the caller"
PUBLIC: Final = "it names something that everybody may see"
NAME: Final = "a new name; that it is taken is no secret"
EVERYTHING: Final = "only administrators call this, and all of it is theirs to see"
NOT_READ: Final = "the server's own field; test_server_owned shows that it is not read"
SERVICES: Final = "only services call this, and they may read every account"
WORTHLESS: Final = "nothing without its secret; unknown, revoked and without it look the same (test_auth_services)"
SECRET: Final = "whoever holds it may use it"
APART: Final = "a token, which has tests of its own"
WATCHED: Final = "a filter of a watch without an end; test_ownership_tokens compares what it begins with"
PICTURE: Final = "must be the caller's own upload; another's is refused like a missing one (test_delivery_proofs)"
NOT_YET: Final = "there is nothing yet that it could name"


def _rider_id(market: Market) -> str:
    assert market.trip.rider is not None
    return market.trip.rider.courier_id


def _order_group_id(market: Market) -> str:
    return market.trip.group.order_group_id


def _product_id(market: Market) -> str:
    return market.goods.product_id


def _variant_id(market: Market) -> str:
    return market.goods.variant_id


B, S, C, NOBODY = "BUYER", "SELLER", "COURIER", "anonymous"
_ORDERS, _DELIVERIES = order_service_pb2.ListOrdersRequest, delivery_service_pb2.ListDeliveriesRequest
_GROUP = order_service_pb2.GetOrderGroupRequest
_STOCK = inventory_service_pb2

FIELDS: Final[Mapping[str, Owned | str]] = {
    **PICTURES,
    "Login.guest_cart_token": SECRET,
    **PROMOTIONS,
    **REVIEWS,
    **{
        f"{method}Review.review.{field}": NOT_READ
        for method in ("Create", "Update")
        for field in (
            "order_id",
            "product_id",
            "seller_id",
            "courier_id",
            "author_user_id",
            "images[].media_id",
            "reports[].user_id",
        )
    },
    "CreateReview.review.review_id": NOT_READ,
    "UpdateReview.review.order_item_id": NOT_READ,
    "ModerateReview.review_id": EVERYTHING,
    "ListReviews.page_token": APART,
    **{f"ListReviews.{field}": PUBLIC for field in ("product_ids", "seller_ids", "courier_ids")},
    **{f"GetRatingSummary.{field}": PUBLIC for field in ("product_id", "seller_id", "courier_id")},
    "RefreshTokens.refresh_token": SECRET,
    "GetUser.user_id": Owned(
        (B, S, C),
        plain(lambda market: market.trip.buyer.user_id, lambda one: user_service_pb2.GetUserRequest(user_id=one)),
    ),
    "ListSessions.page_token": APART,
    "RevokeSession.session_id": Owned((B, S, C), session),
    "UndoEmailChange.token": SECRET,
    "ResetPassword.token": SECRET,
    "IssueServiceToken.client_id": WORTHLESS,
    "ListServiceAccounts.page_token": APART,
    "RevokeServiceAccount.service_account_id": EVERYTHING,
    "BatchGetUsers.user_ids": SERVICES,
    "UpdateUser.user.user_id": Owned((B, S, C), plain(lambda market: market.trip.buyer.user_id, update_user)),
    "DeleteUser.user_id": Owned(
        (B, S, C),
        plain(
            lambda market: market.trip.buyer.user_id,
            lambda one: user_service_pb2.DeleteUserRequest(user_id=one, password=PASSWORD),
        ),
    ),
    "CreateAddress.address.address_id": NOT_READ,
    "GetAddress.address_id": Owned((B, S, C), address(lambda one: user_service_pb2.GetAddressRequest(address_id=one))),
    "ListAddresses.page_token": APART,
    "UpdateAddress.address.address_id": Owned((B, S, C), address(update_address)),
    "DeleteAddress.address_id": Owned(
        (B, S, C), address(lambda one: user_service_pb2.DeleteAddressRequest(address_id=one))
    ),
    "SetDefaultAddress.address_id": Owned(
        (B, S, C), address(lambda one: user_service_pb2.SetDefaultAddressRequest(address_id=one))
    ),
    "ListUsers.page_token": APART,
    "SetUserRoles.user_id": EVERYTHING,
    "BlockUser.user_id": EVERYTHING,
    "UnblockUser.user_id": EVERYTHING,
    "ListAuditEntries.page_token": APART,
    "ListAuditEntries.actor_ids": EVERYTHING,
    "ListAuditEntries.resource_ids": EVERYTHING,
    "CreateSeller.seller.seller_id": NOT_READ,
    "CreateSeller.seller.owner_user_id": NOT_READ,
    "GetSeller.seller_id": Owned((NOBODY, B, S, C), pending_seller),
    "GetSeller.handle": Owned((NOBODY, B, S, C), pending_handle),
    "CreateSeller.seller.handle": NAME,
    "UpdateSeller.seller.seller_id": Owned((B, S, C), plain(lambda market: market.shop.seller_id, update_seller)),
    "UpdateSeller.seller.owner_user_id": NOT_READ,
    "UpdateSeller.seller.handle": NOT_READ,
    "ListSellers.page_token": APART,
    "ApproveSeller.seller_id": EVERYTHING,
    "RejectSeller.seller_id": EVERYTHING,
    "SuspendSeller.seller_id": EVERYTHING,
    "ReinstateSeller.seller_id": EVERYTHING,
    "CloseSeller.seller_id": Owned(
        (B, S, C),
        plain(
            lambda market: market.shop.seller_id,
            lambda one: seller_service_pb2.CloseSellerRequest(seller_id=one, reason="it is mine"),
        ),
    ),
    "ApproveCourier.courier_id": EVERYTHING,
    "GetCourier.courier_id": Owned(
        (B, S, C), plain(_rider_id, lambda one: courier_service_pb2.GetCourierRequest(courier_id=one))
    ),
    "ListCouriers.page_token": APART,
    "ListCouriers.user_ids": EVERYTHING,
    "RejectCourier.courier_id": EVERYTHING,
    "SuspendCourier.courier_id": EVERYTHING,
    "ReinstateCourier.courier_id": EVERYTHING,
    "CloseCourier.courier_id": Owned(
        (B, S, C),
        plain(_rider_id, lambda one: courier_service_pb2.CloseCourierRequest(courier_id=one, reason="it is mine")),
    ),
    "CreateCategory.category.category_id": NOT_READ,
    "CreateCategory.category.slug": NAME,
    "CreateCategory.category.parent_category_id": PUBLIC,
    "CreateCategory.category.ancestor_ids": NOT_READ,
    "CreateCategory.category.image.media_id": EVERYTHING,
    "UpdateCategory.category.category_id": PUBLIC,
    "UpdateCategory.category.parent_category_id": PUBLIC,
    "UpdateCategory.category.slug": NAME,
    "UpdateCategory.category.ancestor_ids": NOT_READ,
    "UpdateCategory.category.image.media_id": EVERYTHING,
    "DeleteCategory.category_id": PUBLIC,
    "GetCategory.category_id": PUBLIC,
    "GetCategory.slug": PUBLIC,
    "ListCategories.page_token": APART,
    "ListCategories.parent_category_ids": PUBLIC,
    "CreateBrand.brand.brand_id": NOT_READ,
    "CreateBrand.brand.slug": NAME,
    "CreateBrand.brand.logo.media_id": NOT_READ,
    "UpdateBrand.brand.brand_id": PUBLIC,
    "UpdateBrand.brand.slug": NAME,
    "UpdateBrand.brand.logo.media_id": NOT_READ,
    "DeleteBrand.brand_id": PUBLIC,
    "GetBrand.brand_id": PUBLIC,
    "GetBrand.slug": PUBLIC,
    "ListBrands.page_token": APART,
    "CreateProduct.product.product_id": NOT_READ,
    "CreateProduct.product.seller_id": Owned((S,), plain(lambda market: market.shop.seller_id, create_product)),
    "CreateProduct.product.slug": NAME,
    "CreateProduct.product.category_id": PUBLIC,
    "CreateProduct.product.brand_id": PUBLIC,
    "CreateProduct.product.images[].image_id": NOT_READ,
    "CreateProduct.product.images[].variant_ids": NOT_YET,
    "CreateProduct.product.variants[].variant_id": NOT_READ,
    "CreateProduct.product.variants[].product_id": NOT_READ,
    "UpdateProduct.product.product_id": Owned((S,), plain(lambda market: market.goods.product_id, update_product)),
    "UpdateProduct.product.seller_id": NOT_READ,
    "UpdateProduct.product.slug": NAME,
    "UpdateProduct.product.category_id": PUBLIC,
    "UpdateProduct.product.brand_id": PUBLIC,
    "UpdateProduct.product.images[].image_id": NOT_READ,
    "UpdateProduct.product.images[].image.media_id": NOT_READ,
    "UpdateProduct.product.images[].variant_ids": NOT_READ,
    "UpdateProduct.product.variants[].variant_id": NOT_READ,
    "UpdateProduct.product.variants[].product_id": NOT_READ,
    "ArchiveProduct.product_id": Owned(
        (S,), plain(_product_id, lambda one: catalog_service_pb2.ArchiveProductRequest(product_id=one))
    ),
    "DeleteProduct.product_id": Owned(
        (S,), plain(_product_id, lambda one: catalog_service_pb2.DeleteProductRequest(product_id=one))
    ),
    "CreateVariant.variant.variant_id": NOT_READ,
    "CreateVariant.variant.product_id": Owned((S,), plain(_product_id, create_variant)),
    "UpdateVariant.variant.variant_id": Owned((S,), plain(_variant_id, update_variant)),
    "UpdateVariant.variant.product_id": NOT_READ,
    "DeleteVariant.variant_id": Owned(
        (S,), plain(_variant_id, lambda one: catalog_service_pb2.DeleteVariantRequest(variant_id=one))
    ),
    "AddProductImage.image.image_id": NOT_READ,
    "ListRemoteImages.page_token": APART,
    "BatchUpsertVariants.seller_id": Owned(
        (S,), plain(lambda market: market.shop.seller_id, partial(upserted, field="seller_id"))
    ),
    "BatchUpsertVariants.items[].product_id": Owned((S,), plain(_product_id, partial(upserted, field="product_id"))),
    "BatchUpsertVariants.items[].variant.variant_id": NOT_READ,
    "BatchUpsertVariants.items[].variant.product_id": NOT_READ,
    "BatchGetProducts.product_ids": Owned(
        (NOBODY, B, S, C),
        draft("product_id", lambda one: catalog_service_pb2.BatchGetProductsRequest(product_ids=[one])),
    ),
    "PublishProduct.product_id": Owned(
        (S,), draft("product_id", lambda one: catalog_service_pb2.PublishProductRequest(product_id=one))
    ),
    "GetProduct.product_id": Owned(
        (NOBODY, B, S, C), draft("product_id", lambda one: catalog_service_pb2.GetProductRequest(product_id=one))
    ),
    "GetProduct.slug": Owned(
        (NOBODY, B, S, C), draft("slug", lambda one: catalog_service_pb2.GetProductRequest(slug=one))
    ),
    "ListProducts.page_token": APART,
    "ListProducts.category_ids": PUBLIC,
    "ListProducts.brand_ids": PUBLIC,
    "ListProducts.seller_ids": Owned(
        (NOBODY, B, S, C),
        plain(
            lambda market: market.shop.seller_id,
            lambda one: catalog_service_pb2.ListProductsRequest(
                seller_ids=[one], states=[product_pb2.PRODUCT_STATE_DRAFT]
            ),
        ),
    ),
    "SearchProducts.page_token": APART,
    "SearchProducts.category_ids": PUBLIC,
    "SearchProducts.brand_ids": PUBLIC,
    "SearchProducts.seller_ids": PUBLIC,
    "ImportProducts.options.seller_id": Owned(
        (S,), plain(lambda market: market.shop.seller_id, lambda one: streamed_import(csv_file(), seller_id=one))
    ),
    "ImportProductsInline.options.seller_id": Owned(
        (S,), plain(lambda market: market.shop.seller_id, lambda one: inline_import(csv_file(), seller_id=one))
    ),
    "GetMedia.media_id": Owned((B, S, C), private_media(lambda one: media_service_pb2.GetMediaRequest(media_id=one))),
    "DownloadMedia.media_id": Owned(
        (B, S, C), private_media(lambda one: media_service_pb2.DownloadMediaRequest(media_id=one))
    ),
    "DeleteMedia.media_id": Owned(
        (B, S, C), private_media(lambda one: media_service_pb2.DeleteMediaRequest(media_id=one))
    ),
    "ListMedia.page_token": APART,
    "ExportProducts.seller_id": Owned(
        (S,),
        plain(
            lambda market: market.shop.seller_id,
            lambda one: catalog_service_pb2.ExportProductsRequest(seller_id=one),
        ),
    ),
    "GetStock.variant_id": Owned(
        (S,),
        plain(
            lambda market: market.goods.variant_id,
            lambda one: inventory_service_pb2.GetStockRequest(variant_id=one),
        ),
    ),
    "SetStock.variant_id": Owned(
        (S,),
        plain(
            lambda market: market.goods.variant_id,
            lambda one: inventory_service_pb2.SetStockRequest(request_id=new_key(), variant_id=one, quantity=0),
        ),
    ),
    "BatchGetStock.variant_ids": Owned((S,), filtered(_STOCK.BatchGetStockRequest, "variant_ids", _variant_id)),
    "AdjustStock.variant_id": Owned(
        (S,),
        plain(_variant_id, lambda one: _STOCK.AdjustStockRequest(request_id=new_key(), variant_id=one, delta=-1)),
    ),
    "ListStockMovements.page_token": APART,
    "ListStockMovements.variant_ids": Owned(
        (S,), filtered(_STOCK.ListStockMovementsRequest, "variant_ids", _variant_id)
    ),
    "ListStockMovements.seller_ids": Owned(
        (S,), filtered(_STOCK.ListStockMovementsRequest, "seller_ids", lambda market: market.shop.seller_id)
    ),
    "WatchStock.variant_ids": Owned((S,), filtered(_STOCK.WatchStockRequest, "variant_ids", _variant_id)),
    "WatchStock.resume_token": APART,
    "MergeCarts.guest_token": SECRET,
    "WatchCart.resume_token": APART,
    "AddCartItem.variant_id": Owned(
        (B,),
        draft("variant_id", lambda one: cart_service_pb2.AddCartItemRequest(variant_id=one, quantity=1)),
    ),
    "UpdateCartItem.item.item_id": Owned(
        (B,),
        cart_item(
            lambda one: cart_service_pb2.UpdateCartItemRequest(
                item=cart_pb2.CartItem(item_id=one, quantity=9), cart_etag="stale"
            ),
            with_cart=True,
        ),
    ),
    "UpdateCartItem.item.variant_id": NOT_READ,
    "UpdateCartItem.item.product_id": NOT_READ,
    "UpdateCartItem.item.seller_id": NOT_READ,
    "UpdateCartItem.item.problems[].item_id": NOT_READ,
    "UpdateCartItem.item.problems[].variant_id": NOT_READ,
    "UpdateCartItem.item.problems[].seller_id": NOT_READ,
    "RemoveCartItem.item_id": Owned(
        (B,), cart_item(lambda one: cart_service_pb2.RemoveCartItemRequest(item_id=one), with_cart=False)
    ),
    "QuoteOrder.address_id": Owned((B,), quoted_address),
    "PlaceOrder.quote_token": APART,
    "GetOrder.order_id": Owned((B, S, C), order(order_service_pb2.GetOrderRequest)),
    "BatchGetOrders.order_ids": Owned(
        (B, S, C), filtered(order_service_pb2.BatchGetOrdersRequest, "order_ids", lambda market: market.trip.order_id)
    ),
    "GetOrderGroup.order_group_id": Owned((B, S), filtered(_GROUP, "order_group_id", _order_group_id)),
    "ListOrderEvents.order_id": Owned((B, S), order(order_service_pb2.ListOrderEventsRequest)),
    "ListOrderEvents.page_token": APART,
    "GetReceipt.order_id": Owned((B, S), order(order_service_pb2.GetReceiptRequest)),
    "ListOrders.page_token": APART,
    "ListOrders.buyer_ids": Owned((B, S, C), filtered(_ORDERS, "buyer_ids", lambda market: market.trip.buyer.user_id)),
    "ListOrders.seller_ids": Owned((B, C), filtered(_ORDERS, "seller_ids", lambda market: market.shop.seller_id)),
    "ListOrders.courier_ids": Owned((B, S, C), filtered(_ORDERS, "courier_ids", _rider_id)),
    "ListOrders.order_group_ids": Owned((B, S, C), filtered(_ORDERS, "order_group_ids", _order_group_id)),
    "AcceptOrder.order_id": Owned((S,), order(order_service_pb2.AcceptOrderRequest, etag="stale")),
    "RejectOrder.order_id": Owned((S,), order(order_service_pb2.RejectOrderRequest, etag="stale")),
    "MarkOrderReady.order_id": Owned((S,), order(order_service_pb2.MarkOrderReadyRequest, etag="stale")),
    "CancelOrder.order_id": Owned((B, S), order(order_service_pb2.CancelOrderRequest)),
    "CancelOrder.lines[].item_id": Owned((B, S), cancelled_item),
    "WatchOrder.order_id": Owned((B, S), order(order_service_pb2.WatchOrderRequest)),
    "WatchOrder.resume_token": APART,
    "WatchOrders.resume_token": APART,
    "WatchOrders.buyer_ids": WATCHED,
    "WatchOrders.seller_ids": WATCHED,
    "WatchOrders.order_group_ids": WATCHED,
    "CreatePayment.order_group_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.group.order_group_id,
            lambda one: payment_service_pb2.CreatePaymentRequest(request_id=new_key(), order_group_id=one),
        ),
    ),
    "ConfirmPayment.payment_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.payment_id,
            lambda one: payment_service_pb2.ConfirmPaymentRequest(
                request_id=new_key(), payment_id=one, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
            ),
        ),
    ),
    "GetPayment.payment_id": Owned(
        (B,),
        plain(
            lambda market: market.trip.payment_id,
            lambda one: payment_service_pb2.GetPaymentRequest(payment_id=one),
        ),
    ),
    "RefundPayment.payment_id": Owned((S,), refunded_payment),
    "RefundPayment.order.order_id": Owned((S,), refunded_order),
    "CreateCourier.courier.courier_id": NOT_READ,
    "CreateCourier.courier.user_id": NOT_READ,
    "AssignCourier.delivery_id": EVERYTHING,
    "AssignCourier.courier_id": EVERYTHING,
    "ReassignDelivery.delivery_id": EVERYTHING,
    "ReassignDelivery.courier_id": EVERYTHING,
    "CancelDelivery.delivery_id": EVERYTHING,
    "FailDelivery.delivery_id": Owned((C,), delivery(delivery_service_pb2.FailDeliveryRequest, reason=1)),
    "ReturnToSeller.delivery_id": Owned((C,), delivery(delivery_service_pb2.ReturnToSellerRequest, reason=1)),
    "GetDelivery.delivery_id": Owned((B, S, C), delivery(delivery_service_pb2.GetDeliveryRequest)),
    "ListDeliveries.page_token": APART,
    "ListDeliveries.order_ids": Owned(
        (B, S, C), filtered(_DELIVERIES, "order_ids", lambda market: market.trip.order_id)
    ),
    "ListDeliveries.buyer_ids": Owned(
        (B, S, C), filtered(_DELIVERIES, "buyer_ids", lambda market: market.trip.buyer.user_id)
    ),
    "ListDeliveries.seller_ids": Owned(
        (B, C), filtered(_DELIVERIES, "seller_ids", lambda market: market.shop.seller_id)
    ),
    "ListDeliveries.courier_ids": Owned((B, S, C), filtered(_DELIVERIES, "courier_ids", _rider_id)),
    "WatchDeliveries.resume_token": APART,
    "PickUpDelivery.delivery_id": Owned((C,), delivery(delivery_service_pb2.PickUpDeliveryRequest)),
    "CompleteDelivery.delivery_id": Owned((C,), completed),
    "CompleteDelivery.media_ids": PICTURE,
    "StreamLocations.hello.uplink_id": OWN_KEY,
    "StreamLocations.hello.device_id": OWN_KEY,
    "ReportLocations.uplink_id": OWN_KEY,
    "ReportLocations.device_id": OWN_KEY,
    "WatchDelivery.delivery_id": Owned(
        (B, S, C),
        plain(
            lambda market: market.trip.delivery_id,
            lambda one: tracking_service_pb2.WatchDeliveryRequest(delivery_id=one),
        ),
    ),
    "WatchDelivery.resume_token": APART,
}
"""By method and field. Every `request_id` is OWN_KEY."""
