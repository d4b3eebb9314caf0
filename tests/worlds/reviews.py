"""A small marketplace for the tests of reviews: shops, products and couriers, and orders that were delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from marketd.catalog.servicer import CatalogServicer
from marketd.config import ReviewModeration
from marketd.delivery import couriers
from marketd.delivery.couriers import CreateCourier
from marketd.delivery.model import Vehicle
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.slice import ANSWERS_TOPIC
from marketd.kernel.values.ids import new_id, new_order_number
from marketd.media.model import Purpose
from marketd.review.servicer import ReviewServicer
from marketd.seller.servicer import SellerServicer
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.review.v1 import review_pb2
from marketplace.review.v1 import review_service_pb2 as pb
from marketplace.seller.v1 import seller_service_pb2

from tests.worlds.built import Built
from tests.worlds.calls import call, caller_of
from tests.worlds.goods import HOME, SHOP, Goods, Shop
from tests.worlds.parts import make_parts, make_settings
from tests.worlds.rendering import quick_taker

PRODUCT, SELLER, COURIER = (
    review_pb2.REVIEW_KIND_PRODUCT,
    review_pb2.REVIEW_KIND_SELLER,
    review_pb2.REVIEW_KIND_COURIER,
)
PENDING, PUBLISHED, REJECTED = (
    review_pb2.REVIEW_STATE_PENDING,
    review_pb2.REVIEW_STATE_PUBLISHED,
    review_pb2.REVIEW_STATE_REJECTED,
)
# Each order has one line of two pieces; $1 to $4 are arrays of as many ids, $5 of numbers.
_GROUPS = """
INSERT INTO order_groups (order_group_id, buyer_id, quote_id, payment_id, total_minor, currency, payment_expire_time,
  create_time)
SELECT each, $2, gen_random_uuid(), gen_random_uuid(), 2490, 'EUR', now(), now() FROM unnest($1::uuid[]) each
"""
_ORDERS = """
INSERT INTO orders (order_id, order_number, order_group_id, buyer_id, seller_id, owner_user_id, shop_name, pickup,
  address, currency, subtotal_minor, discount_amount_minor, delivery_fee_minor, total_minor, usual_prep_duration,
  eta_earliest_time, eta_latest_time, create_time, state, version, due_minor, update_time, pay_time, accept_time,
  expected_ready_time, ready_time, prep_duration, delivery_tax_rate, delivery_tax_amount_minor, out_for_delivery_time,
  deliver_time, courier_id, courier_user_id)
SELECT n.id, n.number, n.id, $3, $4, $5, 'Radhaus', $6::jsonb, $7::jsonb, 'EUR', 2000, 0, 490, 2490,
  interval '10 min', now(), now(), now(), $8, 4, 2490, now(), now(), now(), now(), now(), interval '10 min', 0, 0,
  now(), CASE WHEN $8 IN ('DELIVERED', 'REFUNDED') THEN now() END, $9, $10
FROM unnest($1::uuid[], $2::text[]) n(id, number)
"""
_ITEMS = """
INSERT INTO order_items (item_id, order_id, variant_id, product_id, title, sku, options, image_url, quantity,
  unit_price_minor, discount_amount_minor, tax_rate, tax_amount_minor, requires_shipping)
SELECT n.item, n.id, gen_random_uuid(), $3, 'Lamp', '', '{}', '', 2, 1000, 0, 0, 0, true
FROM unnest($1::uuid[], $2::uuid[]) n(id, item)
"""


class Reviews(Goods):
    """What the tests act with: reviews and what shows their sums, on the test's database."""

    def __init__(self, tx: Transactor, *, moderated: bool = False) -> None:
        super().__init__(tx)
        moderation = ReviewModeration.ALL if moderated else ReviewModeration.OFF
        parts = make_parts(tx, settings=make_settings(review_moderation=moderation))
        self.built = Built(parts, "auth", "media", "seller", "inventory", "catalog", "review", "delivery")
        self.dropped: list[bytes] = []
        """The tags whose kept answers were dropped."""
        parts.broadcast.subscribe(ANSWERS_TOPIC, self.dropped.append)
        self.taker = quick_taker(parts)
        self.servicer = self.built.servicer(ReviewServicer)
        self.catalog = self.built.servicer(CatalogServicer)
        self.sellers = self.built.servicer(SellerServicer)

    async def product(self, shop: Shop) -> UUID:
        """A published product of the shop."""
        variant_id = await self.variant(shop)
        return UUID(str(await self.value("SELECT product_id FROM variants WHERE variant_id = $1", variant_id)))

    async def courier(self) -> tuple[Caller, UUID]:
        """Somebody who brings orders, and the courier's id."""
        caller = await self.account(Role.BUYER, Role.COURIER)
        command = CreateCourier("Noor", "Quiet", "", Vehicle.BICYCLE, "")
        made = await self.tx.run("test.courier", lambda uow: couriers.create_courier(uow, caller, command))
        return caller, made.courier_id

    async def bought(
        self,
        buyer: Caller,
        shop: Shop,
        product_id: UUID,
        count: int = 1,
        *,
        courier: tuple[Caller, UUID] | None = None,
        state: str = "DELIVERED",
    ) -> list[UUID]:
        """So many orders of the product that came to the buyer, or stand at another state; the ids of their lines."""
        ids, items = [new_id() for _ in range(count)], [new_id() for _ in range(count)]
        numbers = [new_order_number() for _ in ids]
        rider, courier_id = (None, None) if courier is None else (courier[0].known_user_id, courier[1])
        await self.execute(_GROUPS, ids, buyer.known_user_id)
        await self.execute(
            _ORDERS,
            ids,
            numbers,
            buyer.known_user_id,
            shop.seller_id,
            shop.caller.known_user_id,
            SHOP.to_json_text(),
            HOME.to_json_text(),
            state,
            courier_id,
            rider,
        )
        await self.execute(_ITEMS, ids, items, product_id)
        return items

    async def photograph(self, caller: Caller, purpose: Purpose = Purpose.REVIEW) -> str:
        """A picture that the caller uploads, one like no other; its id."""
        return str((await self.taker.adopt(caller.known_user_id, purpose, new_id().bytes)).media_id)

    async def write(
        self,
        caller: Caller,
        item_id: UUID | str,
        rating: int = 5,
        *,
        kind: review_pb2.ReviewKind.ValueType = PRODUCT,
        text: str = "",
        media_ids: Sequence[str] = (),
    ) -> review_pb2.Review:
        """CreateReview."""
        review = review_pb2.Review(
            kind=kind, order_item_id=str(item_id), rating=rating, text=text or None, media_ids=media_ids
        )
        return (await call(caller, self.servicer.CreateReview, pb.CreateReviewRequest(review=review))).review

    async def update(
        self, caller: Caller, review_id: str, *paths: str, etag: str = "", **values: Any
    ) -> review_pb2.Review:
        """UpdateReview of what is given, or of `paths`."""
        request = pb.UpdateReviewRequest(review=review_pb2.Review(review_id=review_id, etag=etag, **values))
        request.update_mask.paths.extend(paths)
        return (await call(caller, self.servicer.UpdateReview, request)).review

    async def delete(self, caller: Caller, review_id: str, **more: Any) -> None:
        """DeleteReview."""
        await call(caller, self.servicer.DeleteReview, pb.DeleteReviewRequest(review_id=review_id, **more))

    async def get(self, review_id: str, caller: Caller = ANONYMOUS) -> review_pb2.Review:
        """GetReview."""
        return (await call(caller, self.servicer.GetReview, pb.GetReviewRequest(review_id=review_id))).review

    async def page(self, caller: Caller = ANONYMOUS, **query: Any) -> pb.ListReviewsResponse:
        """ListReviews."""
        return await call(caller, self.servicer.ListReviews, pb.ListReviewsRequest(**query))

    async def listed(self, caller: Caller = ANONYMOUS, **query: Any) -> list[str]:
        """The ids of all pages of ListReviews."""
        found: list[str] = []
        token = ""
        while True:
            page = await self.page(caller, page_token=token, **query)
            found += [review.review_id for review in page.reviews]
            token = page.next_page_token
            if not token:
                return found

    async def reply(self, caller: Caller, review_id: str, text: str, etag: str = "") -> review_pb2.Review:
        """ReplyToReview."""
        request = pb.ReplyToReviewRequest(review_id=review_id, text=text, etag=etag)
        return (await call(caller, self.servicer.ReplyToReview, request)).review

    async def report(
        self,
        caller: Caller,
        review_id: str,
        reason: review_pb2.ReviewReportReason.ValueType = review_pb2.REVIEW_REPORT_REASON_SPAM,
        note: str = "",
    ) -> None:
        """ReportReview."""
        await call(
            caller,
            self.servicer.ReportReview,
            pb.ReportReviewRequest(review_id=review_id, reason=reason, note=note),
        )

    async def moderate(
        self, review_id: str, state: review_pb2.ReviewState.ValueType, reason: str = "", **more: Any
    ) -> review_pb2.Review:
        """ModerateReview by an admin."""
        request = pb.ModerateReviewRequest(review_id=review_id, state=state, reason=reason, **more)
        return (await call(self.admin, self.servicer.ModerateReview, request)).review

    async def summary(self, **subject: UUID) -> list[int]:
        """The histogram of GetRatingSummary."""
        request = pb.GetRatingSummaryRequest(**{name: str(value) for name, value in subject.items()})
        return list((await call(ANONYMOUS, self.servicer.GetRatingSummary, request)).rating_summary.histogram)

    async def shown(self, product_id: UUID) -> product_pb2.Product:
        """GetProduct."""
        request = catalog_service_pb2.GetProductRequest(product_id=str(product_id))
        return (await call(ANONYMOUS, self.catalog.GetProduct, request)).product

    async def found(self, **query: Any) -> list[str]:
        """The ids that SearchProducts finds."""
        request = catalog_service_pb2.SearchProductsRequest(**query)
        answer: Any = await call(ANONYMOUS, self.catalog.SearchProducts, request)
        return [each.product_id for each in answer.products]

    async def stars_of_shop(self, shop: Shop) -> list[int]:
        """The histogram that GetSeller shows."""
        request = seller_service_pb2.GetSellerRequest(seller_id=str(shop.seller_id))
        return list((await call(ANONYMOUS, self.sellers.GetSeller, request)).seller.rating.histogram)

    async def violations(self) -> list[str]:
        """Everything that is wrong with reviews and what shows their sums."""
        return await self.built.violations()


def service() -> Caller:
    """A service account."""
    return caller_of(new_id(), Role.SERVICE)
