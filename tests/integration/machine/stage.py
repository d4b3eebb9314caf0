"""The marketplace that the machine acts on: its use cases on a real database, and the way back to where it began."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar
from uuid import UUID

from google.protobuf.wrappers_pb2 import StringValue
from marketd.auth.ports import MergeStrategy
from marketd.cart import change, merge, promo_codes, read
from marketd.cart import wiring as cart
from marketd.cart.owner import CartOwner
from marketd.cart.quotes.quote import QuoteTerms, quote_order
from marketd.cart.quotes.values import QuoteKey, QuoteResult
from marketd.cart.values import PricedCart
from marketd.catalog import life as product_life
from marketd.catalog import products
from marketd.catalog.values import NewProduct, NewVariant
from marketd.delivery import assign, couriers, end, hand_over, life
from marketd.delivery.estimate import Pace
from marketd.delivery.model import FailureReason, Vehicle
from marketd.delivery.service import set_rating
from marketd.inventory import stocks
from marketd.inventory.values import Adjustment
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.clock import ManualClock, SystemClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.kernel.values.tax import rate_of
from marketd.order.cancel import CancelledLine, CancelOrder, cancel_order
from marketd.order.model import CancellationReason
from marketd.order.pay import PaidOrders
from marketd.order.place import PlacedGroup, PlaceOrder, PlaceTerms, place_order
from marketd.order.prepare import AcceptOrder, accept_order, mark_order_ready
from marketd.order.reject import RejectOrder, reject_order
from marketd.order.service import has_ordered
from marketd.order.values import Order
from marketd.payment.attempts.confirm import Confirm, PaymentConfirmer
from marketd.payment.providers.choose import providers_of
from marketd.payment.refunds.refund import OrderRefund, PaymentRefunder, RefundPayment
from marketd.payment.values import PaymentMethod
from marketd.promotion.change import Disabling, disable_promo_code, update_promo_code
from marketd.promotion.create import create_promo_code
from marketd.promotion.model import PromoKind
from marketd.promotion.values import NewPromoCode, PromoCodeChange, PromoScope
from marketd.review import moderate, reply, write
from marketd.review.count import Copies
from marketd.review.model import ReviewKind, ReviewState
from marketd.review.values import Judgement, NewReview, Review, ReviewChange

from tests.integration.machine import model
from tests.integration.machine.books import Look
from tests.integration.machine.model import BUYERS, FEE, SHOPS, TAX_PERCENT, VARIANTS, Owner
from tests.integration.machine.promos import Code
from tests.integration.machine.rewind import Rewind
from tests.worlds.built import Built
from tests.worlds.calls import caller_of
from tests.worlds.goods import CURRENCY, HOME, Goods, OneFee, Shop
from tests.worlds.parts import make_parts, make_settings

T = TypeVar("T")
PACE: Final = Pace(5.5)
OTHER: Final = CancellationReason.OTHER


@dataclass(frozen=True)
class Refused:
    """A use case's refusal."""

    reason: str


class Stage(Goods):
    """People, shops, goods and a courier, as model.py has them, and what they do."""

    buyers: list[Caller]
    shops: list[Shop]
    goods: list[UUID]
    products: list[UUID]
    codes: list[UUID]
    guests: dict[Owner, Caller]
    began: datetime
    courier: Caller
    courier_id: UUID
    rewind: Rewind

    def __init__(self, tx: Transactor, clock: ManualClock) -> None:
        super().__init__(tx)
        settings = make_settings(tax_rate=str(TAX_PERCENT), delivery_fee_minor=FEE)
        parts = make_parts(tx, clock=clock, settings=settings)
        self.clock = clock
        self.built = Built(
            parts, instead={"cart": partial(cart.build, quoter=lambda _parts: OneFee(), history=has_ordered)}
        )
        self._terms = QuoteTerms(
            currency=CURRENCY,
            history=has_ordered,
            lifetime=settings.quote_lifetime,
            order_ahead=settings.order_ahead,
            tax_rate=rate_of(settings.tax_rate),
            media_url=settings.media_url,
        )
        self._pricing = self._terms.pricing
        self._quoter = OneFee()
        self._copies = Copies(set_rating, lambda: None)
        self._place_terms = PlaceTerms(settings.unpaid_order_lifetime, settings.order_accept_lifetime)
        providers, paid = providers_of(tx), PaidOrders.of(settings)
        self._confirmer = PaymentConfirmer(tx=tx, providers=providers, orders=paid)
        self._refunder = PaymentRefunder(tx=tx, providers=providers, orders=paid)

    async def open(self) -> None:
        """Make everybody and everything, and remember how it was."""
        self.buyers = [await self.buyer() for _ in range(BUYERS)]
        self.shops = [await self.shop() for _ in range(SHOPS)]
        made = [await self._variant(goods) for goods in VARIANTS]
        self.goods, self.products = [each[0] for each in made], [each[1] for each in made]
        self.courier, self.courier_id = await self._courier()
        await self.settle()
        self.rewind = await Rewind.mark(self.tx)

    async def _variant(self, goods: model.Goods) -> tuple[UUID, UUID]:
        """A published product of one variant."""
        caller, price = self.shops[goods.shop].caller, Money(goods.price, CURRENCY)
        variant = NewVariant("", {}, price, None, goods.stock, True, "", 0, requires_shipping=goods.is_sent)
        new = NewProduct(
            seller_id=None,
            title="Lamp",
            slug="",
            description="",
            category_id=None,
            brand_id=None,
            tags=(),
            attributes={},
            option_names=(),
            variants=[variant],
            images=(),
        )
        made = await self.tx.run("test.product", lambda uow: products.create_product(uow, caller, new, CURRENCY))
        await self.tx.run("test.publish", lambda uow: product_life.publish_product(uow, caller, made.product_id))
        return made.variants[0].variant_id, made.product_id

    async def _courier(self) -> tuple[Caller, UUID]:
        """Somebody on shift."""
        caller = await self.account(Role.BUYER)
        new = couriers.CreateCourier("Noor", "Quiet", "", Vehicle.BICYCLE, "")
        made = await self.tx.run("test.courier", lambda uow: couriers.create_courier(uow, caller, new))
        move = life.CourierMove(made.courier_id, "", "")
        await self.tx.run("test.courier", lambda uow: life.approve_courier(uow, self.admin, move))
        caller = caller_of(caller.known_user_id, Role.BUYER, Role.COURIER)
        await self.tx.run("test.courier", lambda uow: couriers.start_shift(uow, caller, None))
        return caller, made.courier_id

    async def again(self) -> None:
        """Everything is as it was after `open`, and the clock is right."""
        await self.rewind.back(self.tx)
        self.began = SystemClock().now()
        self.clock.advance(self.began - self.clock.now())
        self.codes, self.guests = [], {}

    def later(self, minutes: int) -> None:
        """Time goes by."""
        self.clock.advance(timedelta(minutes=minutes))

    async def look(self) -> Look:
        """What the database holds of what the model has."""
        return await self.tx.read(lambda unit: Look.take(unit.connection))

    async def settle(self) -> None:
        """Run due jobs, and hand on what is committed."""
        await self.built.run_jobs()
        await self.built.hand_on_events()

    async def _do(self, name: str, work: Callable[[UnitOfWork], Awaitable[T]]) -> T | Refused:
        return await attempt(self.tx.run(f"machine.{name}", work))

    # -- goods

    async def adjust(self, variant: int, delta: int) -> object | Refused:
        """AdjustStock by the seller."""
        caller, adjustment = self.shops[VARIANTS[variant].shop].caller, Adjustment(self.goods[variant], delta)
        return await self._do("adjust", lambda uow: stocks.adjust_stock(uow, caller, adjustment))

    # -- carts

    def caller(self, owner: Owner) -> Caller:
        """A buyer, or a guest."""
        return self.buyers[owner] if owner >= 0 else self.guests[owner]

    def _owner(self, owner: Owner) -> CartOwner:
        return CartOwner.of(self.caller(owner))

    async def open_guest(self, owner: Owner) -> PricedCart:
        """CreateGuestCart."""
        made = await self.tx.run("machine.guest", lambda uow: read.create_guest_cart(uow, self._pricing))
        self.guests[owner] = Caller(None, None, frozenset({Role.GUEST}), guest_cart_id=made.cart.cart_id)
        return made

    async def add(self, owner: Owner, variant: int, pieces: int) -> PricedCart | Refused:
        """AddCartItem."""
        command = change.AddItem(self.goods[variant], pieces)
        said = await self._do("add", lambda uow: change.add_item(uow, self._owner(owner), command, self._pricing))
        return said if isinstance(said, Refused) else said.cart

    async def set(self, owner: Owner, item_id: UUID, pieces: int) -> PricedCart | Refused:
        """UpdateCartItem."""
        command = change.SetQuantity(item_id, pieces, "")
        return await self._do("set", lambda uow: change.set_quantity(uow, self._owner(owner), command, self._pricing))

    async def remove(self, owner: Owner, item_id: UUID) -> PricedCart | Refused:
        """RemoveCartItem."""
        command = change.RemoveItem(item_id, allow_missing=False)
        return await self._do("remove", lambda uow: change.remove_item(uow, self._owner(owner), command, self._pricing))

    async def clear(self, owner: Owner) -> PricedCart | Refused:
        """ClearCart."""
        return await self._do("clear", lambda uow: change.clear(uow, self._owner(owner), self._pricing))

    async def items(self, owner: Owner) -> dict[int, UUID]:
        """The items of the cart by their variants, by GetCart."""
        cart = await self.tx.read(lambda unit: read.find_cart(unit, self._owner(owner), self._pricing))
        items = () if cart is None else cart.cart.items
        return {self.goods.index(item.variant_id): item.item_id for item in items}

    async def merge(self, guest: Owner, buyer: Owner, strategy: str) -> merge.MergedCart | Refused:
        """MergeCarts."""
        user_id, cart_id = self.buyers[buyer].known_user_id, self.guests[guest].guest_cart_id
        assert cart_id is not None
        how = MergeStrategy(strategy)
        return await self._do("merge", lambda uow: merge.merge_carts(uow, user_id, cart_id, how, self._pricing))

    # -- codes

    async def make_code(self, code: Code) -> None:
        """CreatePromoCode, by the shop whose it is or else an admin."""
        new = self._new(len(self.codes), code)
        caller = self.admin if code.shop is None else self.shops[code.shop].caller
        made = await self.tx.run("machine.code", lambda uow: create_promo_code(uow, caller, new, CURRENCY))
        self.codes.append(made.value.promo_code_id)

    def _new(self, number: int, code: Code) -> NewPromoCode:
        products = tuple(self.products[variant] for variant in sorted(code.variants))
        return NewPromoCode(
            code=f"CODE-{number}",
            seller_id=None,
            kind=PromoKind(code.kind),
            rate=int(code.percent * 10_000) or None,
            amount=Money(code.amount, CURRENCY) if code.amount else None,
            scope=PromoScope(product_ids=products),
            min_subtotal=Money(code.least, CURRENCY) if code.least else None,
            max_discount=None if code.cap is None else Money(code.cap, CURRENCY),
            start_time=None,
            end_time=None if code.end is None else self.began + code.end,
            usage_limit=code.limit,
            per_user_limit=code.each,
            first_order_only=code.is_first_only,
            stackable=code.is_stackable,
            description="",
        )

    async def change_code(self, number: int, code: Code) -> None:
        """UpdatePromoCode: what it takes off at least, and how often it may be used."""
        paths = frozenset({"min_subtotal", "usage_limit", "per_user_limit"})
        change = PromoCodeChange(self.codes[number], paths, "", self._new(number, code), None)
        await self.tx.run("machine.code", lambda uow: update_promo_code(uow, self.admin, change))

    async def disable_code(self, number: int) -> None:
        """DisablePromoCode."""
        command = Disabling(self.codes[number], "", "")
        await self.tx.run("machine.code", lambda uow: disable_promo_code(uow, self.admin, command))

    async def apply(self, owner: Owner, number: int) -> PricedCart | Refused:
        """ApplyPromoCode, in whatever case."""
        text = f" code-{number}" if number % 2 else f"CODE-{number}"
        return await self._do("apply", lambda uow: promo_codes.apply_code(uow, self._owner(owner), text, self._pricing))

    async def take_off(self, owner: Owner, number: int) -> PricedCart | Refused:
        """RemovePromoCode."""
        command = promo_codes.RemoveCode(f"CODE-{number}", allow_missing=False)
        return await self._do(
            "take_off", lambda uow: promo_codes.remove_code(uow, self._owner(owner), command, self._pricing)
        )

    # -- orders

    async def quote(self, caller: Caller) -> QuoteResult | Refused:
        """QuoteOrder."""
        return await self._do("quote", lambda uow: quote_order(uow, caller, HOME, self._quoter, self._terms))

    async def place(self, caller: Caller, quote: QuoteKey, total: int) -> PlacedGroup | Refused:
        """PlaceOrder."""
        command = PlaceOrder(quote, Money(total, CURRENCY), "sandbox")
        return await self._do("place", lambda uow: place_order(uow, caller, command, self._place_terms))

    async def pay(self, caller: Caller, payment_id: UUID, method: str) -> object | Refused:
        """ConfirmPayment."""
        request_id = new_id()
        command = Confirm(payment_id, PaymentMethod("sandbox", method), "", request_id, request_id.bytes)
        return await attempt(self._confirmer.confirm(caller, command, lambda payment: StringValue()))

    async def refund(
        self, caller: Caller, payment_id: UUID, order_id: UUID | None, amount: int | None
    ) -> object | Refused:
        """RefundPayment."""
        request_id = new_id()
        order = OrderRefund(order_id, None if amount is None else Money(amount, CURRENCY)) if order_id else None
        command = RefundPayment(payment_id, order, "because", "", request_id, request_id.bytes)
        return await attempt(self._refunder.refund(caller, command, lambda refunded: StringValue()))

    async def cancel(self, caller: Caller, order_id: UUID, lines: Mapping[UUID, int]) -> Order | Refused:
        """CancelOrder."""
        cancelled = tuple(CancelledLine(item_id, pieces) for item_id, pieces in lines.items())
        command = CancelOrder(order_id, cancelled, OTHER, "", "")
        return await self._do("cancel", lambda uow: cancel_order(uow, caller, command))

    async def reject(self, shop: int, order_id: UUID) -> Order | Refused:
        """RejectOrder."""
        command = RejectOrder(order_id, OTHER, "", "")
        return await self._do("reject", lambda uow: reject_order(uow, self.shops[shop].caller, command))

    async def accept(self, shop: int, order_id: UUID) -> Order | Refused:
        """AcceptOrder."""
        command = AcceptOrder(order_id, None, "")
        return await self._do("accept", lambda uow: accept_order(uow, self.shops[shop].caller, command))

    async def ready(self, shop: int, order_id: UUID) -> Order | Refused:
        """MarkOrderReady."""
        return await self._do("ready", lambda uow: mark_order_ready(uow, self.shops[shop].caller, order_id, ""))

    # -- the way to the buyer

    async def delivery_of(self, order_id: UUID) -> UUID:
        """The order's delivery."""
        delivery_id: UUID = await self.value("SELECT delivery_id FROM deliveries WHERE order_id = $1", order_id)
        return delivery_id

    async def assign(self, delivery_id: UUID) -> object | Refused:
        """AssignCourier."""
        return await self._do(
            "assign", lambda uow: assign.assign_courier(uow, self.admin, delivery_id, self.courier_id, "", PACE)
        )

    async def pick_up(self, delivery_id: UUID) -> object | Refused:
        """PickUpDelivery."""
        return await self._do("pick_up", lambda uow: hand_over.pick_up(uow, self.courier, delivery_id, None, "", PACE))

    async def complete(self, delivery_id: UUID) -> object | Refused:
        """CompleteDelivery, with the buyer's code."""
        code = await self.value("SELECT dropoff_code FROM deliveries WHERE delivery_id = $1", delivery_id)
        verdict = await self._do("judge", lambda uow: hand_over.judge_code(uow, self.courier, delivery_id, code))
        assert isinstance(verdict, hand_over.CodeVerdict), verdict
        command = hand_over.CompleteDelivery(delivery_id, code, verdict, (), None, "")
        return await self._do("complete", lambda uow: hand_over.complete(uow, self.courier, command))

    async def fail(self, delivery_id: UUID, *, comes_back: bool) -> object | Refused:
        """FailDelivery, or ReturnToSeller."""
        move = end.return_to_seller if comes_back else end.fail_delivery
        command = end.EndDelivery(delivery_id, FailureReason.BUYER_ABSENT, "", None, "")
        return await self._do("fail", lambda uow: move(uow, self.courier, command))

    # -- reviews

    async def review(self, author: Owner, kind: str, item_id: UUID, rating: int) -> Review | Refused:
        """CreateReview."""
        caller, new = self.buyers[author], NewReview(ReviewKind(kind), item_id, rating)
        return await self._do(
            "review", lambda uow: write.create_review(uow, caller, new, self._copies, moderated=False)
        )

    async def rewrite(self, author: Owner, review_id: UUID, rating: int) -> Review | Refused:
        """UpdateReview."""
        caller, new = self.buyers[author], ReviewChange(review_id, rating=rating)
        return await self._do(
            "rewrite", lambda uow: write.update_review(uow, caller, new, self._copies, moderated=False)
        )

    async def unwrite(self, author: Owner, review_id: UUID) -> Refused | None:
        """DeleteReview."""
        caller = self.buyers[author]
        return await self._do("unwrite", lambda uow: write.delete_review(uow, caller, review_id, self._copies))

    async def judge_review(self, review_id: UUID, state: str) -> Review | Refused:
        """ModerateReview."""
        judgement = Judgement(review_id, ReviewState(state), "spam" if state == "REJECTED" else "")
        return await self._do(
            "moderate", lambda uow: moderate.moderate_review(uow, self.admin, judgement, self._copies)
        )

    async def answer(self, shop: int, review_id: UUID, text: str) -> Review | Refused:
        """ReplyToReview."""
        caller = self.shops[shop].caller
        return await self._do("answer", lambda uow: reply.reply_to_review(uow, caller, review_id, text))


async def attempt(work: Awaitable[T]) -> T | Refused:
    """What came of it."""
    try:
        return await work
    except Refusal as refusal:
        return Refused(refusal.reason.value)
