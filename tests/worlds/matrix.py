"""The marketplace of these tests: people with exactly one role each, and goods, orders and deliveries in every state.

Everything is made through the rpcs themselves, but for what no rpc does yet: taking a role away, blocking an account,
and handing events on, which is done by hand so that nothing is written while a test compares the tables.
"""

from __future__ import annotations

import json
import secrets
from typing import Any
from uuid import UUID

import asyncpg
from google.protobuf.duration_pb2 import Duration
from marketd.auth import service as auth
from marketd.auth.accounts.block import block_account
from marketd.auth.letters import Letters
from marketd.config import Settings
from marketd.kernel.call.caller import Role
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.uow import UnitOfWork
from marketd.media.model import Purpose
from marketd.process.process import App
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.media.v1 import media_pb2, media_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.review.v1 import review_pb2, review_service_pb2
from marketplace.seller.v1 import seller_service_pb2

from tests.canaries import WATCH
from tests.worlds import pictures
from tests.worlds.jobs import hand_on, run_due
from tests.worlds.observed import ObservedApp
from tests.worlds.rendering import quick_taker
from tests.worlds.things import (
    PASSWORD,
    Goods,
    Person,
    Rider,
    Shop,
    Trip,
    address,
    assignment,
    new_courier,
    new_key,
    new_product,
    new_shop,
    payment,
)
from tests.worlds.wire import Wire

_LINES = 30


class Market(ObservedApp):
    """The app, and what was made on it."""

    def __init__(
        self, app: App, settings: Settings, wire: Wire, database: asyncpg.Connection, elsewhere: ObservedApp
    ) -> None:
        super().__init__(app, settings, wire, database)
        self.elsewhere = elsewhere
        """Another worker on the same database."""
        self.admin: Person
        self.service: Person
        self.buyer: Person
        self.shop: Shop
        self.rival: Shop
        self.rider: Rider
        self.other_rider: Rider
        self.goods: Goods
        self.trip: Trip
        """A delivery that the rider has been given and has not picked up; nobody moves it on."""
        self.author: Person
        """A buyer who writes reviews."""
        self._lines: list[str] = []

    async def furnish(self, admin_email: str, admin_password: str) -> None:
        """Make what all tests share and none changes."""
        await self.list_tables()
        admin = await self.sign_in(admin_email, admin_password)
        await self.set_roles(admin, Role.ADMIN)
        self.admin = await self.sign_in(admin_email, admin_password)
        self.service = await self.person(Role.SERVICE)
        self.buyer = await self.person(Role.BUYER)
        self.shop, self.rival = await self.open_shop(), await self.open_shop()
        self.rider, self.other_rider = await self.ride(), await self.ride()
        self.author = await self.person(Role.BUYER)
        self.goods = await self.product()
        self.trip = await self.assigned(rider=self.rider)

    # -- people

    async def register(self, **fields: str) -> Person:
        """A new account, as it comes: a BUYER."""
        email = f"{secrets.token_hex(8)}@example.com"
        request = auth_service_pb2.RegisterRequest(
            **{"email": email, "password": PASSWORD, "full_name": "Ada Lovelace", **fields}
        )
        return _person(await self.call(request))

    async def sign_in(self, email: str, password: str = PASSWORD) -> Person:
        """Another session of the account. Its token is read for the first time when it is first used."""
        return _person(await self.call(auth_service_pb2.LoginRequest(login=email, password=password)))

    async def set_roles(self, person: Person, *roles: Role) -> None:
        """Let the account have these roles and no others. Tokens that were used before learn it within two seconds."""
        wanted, account = frozenset(roles), UUID(person.user_id)

        async def work(uow: UnitOfWork) -> None:
            for role in (Role.BUYER, Role.SELLER, Role.COURIER, Role.ADMIN, Role.SERVICE):
                await (auth.grant_role if role in wanted else auth.revoke_role)(uow, account, role)

        await self.app.parts.tx.run("test.roles", work)

    async def person(self, *roles: Role) -> Person:
        """A new account with these roles and no others."""
        person = await self.register()
        await self.set_roles(person, *roles)
        return person

    async def guest(self) -> Person:
        """Somebody with the token of a guest's cart and nothing else."""
        answer = await self.call(cart_service_pb2.CreateGuestCartRequest())
        return Person("", "", "", answer.guest_token, "")

    async def merged_guest(self) -> Person:
        """A guest whose cart has gone into an account's."""
        guest = await self.guest()
        merge = cart_service_pb2.MergeCartsRequest(request_id=new_key(), guest_token=guest.token)
        await self.call(merge, await self.person(Role.BUYER))
        return guest

    async def blocked(self) -> Person:
        """A session of an account that is blocked."""
        person = await self.register()
        await self.block(person)
        return person

    async def block(self, person: Person) -> None:
        """Block the account."""
        account = UUID(person.user_id)
        await self.app.parts.tx.run("test.block", lambda uow: block_account(uow, account))

    async def signed_out(self) -> Person:
        """A session that has ended."""
        person = await self.register()
        await self.call(auth_service_pb2.LogoutRequest(), person)
        return person

    async def open_shop(self) -> Shop:
        """An approved seller."""
        applicant = await self.register()
        seller = (await self.call(new_shop(), applicant)).seller
        await self.call(seller_service_pb2.ApproveSellerRequest(seller_id=seller.seller_id), self.admin)
        await self.set_roles(applicant, Role.SELLER)
        return Shop(await self.sign_in(applicant.email), seller.seller_id, seller.handle)

    async def ride(self, *, on_shift: bool = True) -> Rider:
        """An approved courier."""
        applicant = await self.register()
        courier = (await self.call(new_courier(), applicant)).courier
        await self.call(courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id), self.admin)
        await self.set_roles(applicant, Role.COURIER)
        rider = Rider(await self.sign_in(applicant.email), courier.courier_id)
        if on_shift:
            await self.call(courier_service_pb2.StartShiftRequest(request_id=new_key()), rider.person)
        return rider

    async def written_to(self, person: Person, template: str, value: str) -> str:
        """A value of the last letter of this kind, which waits in the job table; what writes it may be a job itself."""
        while True:
            payload = await self.value(
                "SELECT payload FROM jobs WHERE payload->>'to' = $1 AND payload->>'template' = $2"
                " ORDER BY job_id DESC LIMIT 1",
                person.email,
                template,
            )
            if payload is not None:
                break
            assert await run_due(self.app.core.jobs), f"no {template} for {person.email}"
        text = Letters(Seal(self.settings.derive("letters"))).reveal(json.loads(payload)["values"][value])
        return WATCH.code(text) if value == "code" else text

    # -- goods and orders

    async def draft(self, shop: Shop | None = None, stock: int = 50) -> product_pb2.Product:
        """A product that is not published."""
        product: product_pb2.Product = (await self.call(new_product(stock), (shop or self.shop).owner)).product
        return product

    async def upload(self, person: Person, purpose: media_pb2.MediaPurpose.ValueType) -> str:
        """A picture of that person's, the same each time: it is rendered only once."""
        request = media_service_pb2.UploadImageInlineRequest(purpose=purpose, image=pictures.unlike(7))
        media_id: str = (await self.call(request, person)).media.media_id
        return media_id

    async def pictured(self) -> product_pb2.Product:
        """A product that is not published, with an upload and a link."""
        request = new_product()
        request.product.images.add(
            image={"media_id": await self.upload(self.shop.owner, media_pb2.MEDIA_PURPOSE_PRODUCT)}
        )
        request.product.images.add(image={"url": "https://x.example/1.jpg"})
        product: product_pb2.Product = (await self.call(request, self.shop.owner)).product
        return product

    async def product(self, shop: Shop | None = None, stock: int = 50) -> Goods:
        """A published product."""
        product = await self.draft(shop, stock)
        publish = catalog_service_pb2.PublishProductRequest(product_id=product.product_id)
        await self.call(publish, (shop or self.shop).owner)
        return Goods(product.product_id, product.slug, product.variants[0].variant_id, product.title)

    async def filled(self, buyer: Person | None = None) -> tuple[Person, Any]:
        """A buyer, a new one by default, with a cart that has one line."""
        buyer = buyer or await self.person(Role.BUYER)
        add = cart_service_pb2.AddCartItemRequest(variant_id=self.goods.variant_id, quantity=2)
        return buyer, (await self.call(add, buyer)).cart

    async def quoted(self, shop: Shop | None = None) -> tuple[Person, order_service_pb2.PlaceOrderRequest]:
        """A buyer, and what is to be sent to place the order of the quoted cart."""
        goods = await self.product(shop)
        buyer = await self.person(Role.BUYER)
        await self.call(cart_service_pb2.AddCartItemRequest(variant_id=goods.variant_id, quantity=2), buyer)
        return buyer, await self._quote(buyer)

    async def _quote(self, buyer: Person) -> order_service_pb2.PlaceOrderRequest:
        quote = await self.call(cart_service_pb2.QuoteOrderRequest(address=address("Ada", 13.41)), buyer)
        return order_service_pb2.PlaceOrderRequest(
            request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
        )

    async def placed(self, shop: Shop | None = None) -> Trip:
        """An order that waits for its payment."""
        buyer, request = await self.quoted(shop)
        return Trip(buyer, shop or self.shop, (await self.call(request, buyer)).order_group)

    async def shared(self) -> tuple[order_pb2.OrderGroup, tuple[Shop, Shop]]:
        """One paid order group with an order of each of two shops."""
        shops = (self.shop, self.rival)
        buyer = await self.person(Role.BUYER)
        for shop in shops:
            goods = await self.product(shop)
            await self.call(cart_service_pb2.AddCartItemRequest(variant_id=goods.variant_id, quantity=1), buyer)
        request = await self._quote(buyer)
        trip = Trip(buyer, self.shop, (await self.call(request, buyer)).order_group)
        await self.call(payment(trip.group), buyer)
        return trip.group, shops

    async def paid(self, shop: Shop | None = None) -> Trip:
        """An order that the seller may accept."""
        trip = await self.placed(shop)
        await self.call(payment(trip.group), trip.buyer)
        return trip

    async def accepted(self, shop: Shop | None = None) -> Trip:
        """An order that the seller prepares."""
        trip = await self.paid(shop)
        await self.call(
            order_service_pb2.AcceptOrderRequest(order_id=trip.order_id, prep_duration=Duration(seconds=60)),
            trip.shop.owner,
        )
        return trip

    async def ready(self, shop: Shop | None = None) -> Trip:
        """An order that is ready, and its delivery that nobody has been given."""
        trip = await self.accepted(shop)
        await self.call(order_service_pb2.MarkOrderReadyRequest(order_id=trip.order_id), trip.shop.owner)
        await hand_on(self.app.core.relay)
        wanted = delivery_service_pb2.ListDeliveriesRequest(order_ids=[trip.order_id])
        found = (await self.call(wanted, trip.buyer)).deliveries
        return Trip(trip.buyer, trip.shop, trip.group, delivery_id=found[0].delivery_id)

    async def assigned(self, *, rider: Rider | None = None, shop: Shop | None = None) -> Trip:
        """A delivery that a courier has been given."""
        trip, rider = await self.ready(shop), rider or await self.ride()
        await self.call(assignment(trip, rider), self.admin)
        return Trip(trip.buyer, trip.shop, trip.group, rider, trip.delivery_id)

    async def picked_up(self) -> Trip:
        """A delivery on the road."""
        trip = await self.assigned()
        assert trip.rider is not None
        pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=trip.delivery_id)
        await self.call(pick_up, trip.rider.person)
        return trip

    async def line(self) -> str:
        """A line of an order that came to `author`, which nobody has reviewed; its id."""
        if not self._lines:
            self._lines = await self._delivered(_LINES)
        return self._lines.pop()

    async def _delivered(self, count: int) -> list[str]:
        """The lines of an order of the author's that a courier has brought, so many."""
        request = new_product()
        for number in range(count - 1):
            variant = request.product.variants.add()
            variant.CopyFrom(request.product.variants[0])
            variant.sku, variant.options["Size"] = secrets.token_hex(6), str(number)
        request.product.variants[0].options["Size"] = "other"
        product = (await self.call(request, self.shop.owner)).product
        await self.call(catalog_service_pb2.PublishProductRequest(product_id=product.product_id), self.shop.owner)
        for variant in product.variants:
            add = cart_service_pb2.AddCartItemRequest(variant_id=variant.variant_id, quantity=1)
            await self.call(add, self.author)
        trip = Trip(self.author, self.shop, (await self.call(await self._quote(self.author), self.author)).order_group)
        await self.call(payment(trip.group), self.author)
        await self.call(order_service_pb2.AcceptOrderRequest(order_id=trip.order_id), self.shop.owner)
        await self.call(order_service_pb2.MarkOrderReadyRequest(order_id=trip.order_id), self.shop.owner)
        await hand_on(self.app.core.relay)
        wanted = delivery_service_pb2.ListDeliveriesRequest(order_ids=[trip.order_id])
        rider, found = await self.ride(), (await self.call(wanted, self.author)).deliveries
        trip = Trip(trip.buyer, trip.shop, trip.group, rider, found[0].delivery_id)
        await self.call(assignment(trip, rider), self.admin)
        pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=trip.delivery_id)
        await self.call(pick_up, rider.person)
        complete = delivery_service_pb2.CompleteDeliveryRequest(
            request_id=new_key(), delivery_id=trip.delivery_id, code=await self.code_of(trip)
        )
        await self.call(complete, rider.person)
        return [item.item_id for item in trip.group.orders[0].items]

    async def reviewed(self, *, hidden: bool = False) -> review_pb2.Review:
        """A published review of a product of the shop's by the author, or one that an admin has rejected."""
        request = review_service_pb2.CreateReviewRequest(
            request_id=new_key(),
            review=review_pb2.Review(
                kind=review_pb2.REVIEW_KIND_PRODUCT, order_item_id=await self.line(), rating=4, text="Good."
            ),
        )
        review: review_pb2.Review = (await self.call(request, self.author)).review
        if hidden:
            judgement = review_service_pb2.ModerateReviewRequest(
                review_id=review.review_id, state=review_pb2.REVIEW_STATE_REJECTED, reason="no"
            )
            await self.call(judgement, self.admin)
        return review

    async def photographed(self, person: Person) -> str:
        """A picture that the person took of a delivery; its id."""
        taker = quick_taker(self.app.parts)
        return str((await taker.adopt(UUID(person.user_id), Purpose.PROOF, secrets.token_bytes(16))).media_id)

    async def code_of(self, trip: Trip) -> str:
        """What the buyer tells at the door."""
        request = delivery_service_pb2.GetDeliveryRequest(delivery_id=trip.delivery_id)
        return WATCH.code((await self.call(request, trip.buyer)).delivery.dropoff_code)


def _person(answer: Any) -> Person:
    tokens = answer.tokens
    return Person(answer.user.user_id, tokens.session_id, answer.user.email, tokens.access_token, tokens.refresh_token)
