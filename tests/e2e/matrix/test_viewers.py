"""Everything that anybody can read, read by everybody while an order goes its ways, is what docs/viewers.md says.

The people's words are canaries. Every answer is judged by the page, field by field, and every word of somebody's that
turns up elsewhere than where it belongs is a leak: in another field, another message, a status, an event or a letter.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf.message import Message
from marketd import app as composition
from marketd.kernel.call.caller import Role
from marketd.transport.access import AccessTable
from marketd.transport.rules import Kind, RateClass, Rule
from marketplace.auth.v1 import user_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.type.v1 import address_pb2

from tests.viewers import Seen, Viewer, judge, read_page, texts
from tests.worlds.canary_people import Aviary, Canary
from tests.worlds.matrix import Market
from tests.worlds.things import Person, Rider, Shop, new_courier, new_key, new_shop, payment

READS: Final = [
    rule
    for rule in AccessTable.from_names(composition.SERVICES)
    if rule.kind is Kind.SERVER_STREAM or (rule.kind is Kind.UNARY and rule.rate_class is RateClass.READ)
]
FOUND: Final = {
    "GetOrder": "Order",
    "GetPayment": "Payment",
    "GetDelivery": "Delivery",
    "WatchDelivery": "Live tracking",
    "GetUser": "User",
    "GetSeller": "Seller",
}
"""What answers, and what refuses, as the page's first table says of the thing."""
MOVING: Final = {"order_id", "payment_id", "delivery_id", "order_ids"}
"""Reads that ask for one of these are made after every move, the others at the end of the way."""


@dataclass
class Way:
    """One order on its way, its people and their words."""

    market: Market
    aviary: Aviary
    seen: Seen
    viewers: list[tuple[Viewer, str | None]] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    order_state: str = ""
    wrong: list[str] = field(default_factory=list)
    buyer: Person = None  # type: ignore[assignment]
    shop: Shop = None  # type: ignore[assignment]
    rider: Rider = None  # type: ignore[assignment]
    former: Rider = None  # type: ignore[assignment]
    group: order_pb2.OrderGroup = None  # type: ignore[assignment]

    # -- making it

    async def people(self) -> None:
        """A buyer, a shop, the courier who will bring it and the one who will not, and everybody else."""
        market, aviary = self.market, self.aviary
        self.buyer = await self._registered("buyer")
        self.shop = await self._shop()
        self.rider, self.former = await self._rider("courier"), await self._rider("former courier")
        buyer_address = aviary.address("buyer", "home", r"(order|orders|dropoff)\.address", 13.41)
        saved = address_pb2.Address()
        saved.CopyFrom(aviary.address("buyer", "saved address", "postal_address", 13.42))
        await self._save_address(saved)
        await self._place(buyer_address)
        self.ids |= {
            "user_id": self.buyer.user_id,
            "buyer_id": self.buyer.user_id,
            "seller_id": self.shop.seller_id,
            "courier_id": self.rider.courier_id,
            "product_id": market.goods.product_id,
            "variant_id": market.goods.variant_id,
        }
        known = [
            (Viewer("buyer", "buyer", self.buyer.user_id), self.buyer),
            (Viewer("other buyer", "buyer", market.buyer.user_id), market.buyer),
            (Viewer("seller", "seller", self.shop.owner.user_id, self.shop.seller_id), self.shop.owner),
            (Viewer("other seller", "seller", market.rival.owner.user_id, market.rival.seller_id), market.rival.owner),
            *(
                (Viewer(name, "courier", rider.person.user_id, courier_id=rider.courier_id), rider.person)
                for name, rider in (
                    ("courier", self.rider),
                    ("former courier", self.former),
                    ("other courier", market.other_rider),
                )
            ),
            (Viewer("admin", "admin", market.admin.user_id), market.admin),
            (Viewer("service", "service", market.service.user_id), market.service),
        ]
        self.viewers = [(Viewer("anonymous", "anonymous"), None), *((viewer, who.token) for viewer, who in known)]

    async def _registered(self, owner: str) -> Person:
        aviary = self.aviary
        mine = r"(user|users)\.{}".format
        return await self.market.register(
            email=aviary.email(owner, "e-mail", mine("email")),
            phone=aviary.phone(owner, "phone", mine("phone"), r"courier\.phone"),
            full_name=aviary.word(owner, "full name", mine("full_name")),
        )

    async def _shop(self) -> Shop:
        market, aviary = self.market, self.aviary
        applicant = await self._registered("seller")
        request = new_shop()
        request.seller.pickup_address.CopyFrom(
            aviary.address("seller", "door", r"(pickup_address|pickup\.address)", 13.40)
        )
        request.seller.contact.CopyFrom(
            address_pb2.Contact(
                name=aviary.word("seller", "contact", r"contact\.name"),
                phone=aviary.phone("seller", "contact's phone", r"contact\.phone"),
                email=aviary.email("seller", "contact's e-mail", r"contact\.email"),
            )
        )
        seller = (await self.call(request, applicant)).seller
        approve = seller_service_pb2.ApproveSellerRequest(
            seller_id=seller.seller_id, reason=aviary.word("admin", "approval", "state_reason", "comment", r"after")
        )
        await self.call(approve, market.admin)
        await market.set_roles(applicant, Role.SELLER)
        return Shop(await market.sign_in(applicant.email), seller.seller_id, seller.handle)

    async def _rider(self, owner: str) -> Rider:
        market, aviary = self.market, self.aviary
        applicant = await self._registered(owner)
        request = new_courier()
        request.courier.first_name = aviary.word(owner, "first name", r"(courier|couriers)\.first_name")
        request.courier.last_name = aviary.word(owner, "last name", r"(courier|couriers)\.last_name")
        request.courier.phone = aviary.phone(owner, "courier's phone", r"(courier|couriers)\.phone")
        request.courier.plate_number = aviary.word(owner, "plate", r"(courier|couriers)\.plate_number")
        courier = (await self.call(request, applicant)).courier
        await self.call(courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id), market.admin)
        await market.set_roles(applicant, Role.COURIER)
        rider = Rider(await market.sign_in(applicant.email), courier.courier_id)
        await self.call(courier_service_pb2.StartShiftRequest(request_id=new_key()), rider.person)
        return rider

    async def _save_address(self, postal: address_pb2.Address) -> None:
        from marketplace.auth.v1 import address_pb2 as saved_pb2  # noqa: PLC0415

        label = self.aviary.word("buyer", "label", "label")
        request = user_service_pb2.CreateAddressRequest(
            request_id=new_key(), address=saved_pb2.SavedAddress(label=label, postal_address=postal)
        )
        self.ids["address_id"] = (await self.call(request, self.buyer)).address.address_id

    async def _place(self, home: address_pb2.Address) -> None:
        goods = await self.market.product(self.shop)
        await self.call(cart_service_pb2.AddCartItemRequest(variant_id=goods.variant_id, quantity=2), self.buyer)
        quote = await self.call(cart_service_pb2.QuoteOrderRequest(address=home), self.buyer)
        placed = order_service_pb2.PlaceOrderRequest(
            request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
        )
        self.group = (await self.call(placed, self.buyer)).order_group
        self.ids |= {
            "order_group_id": self.group.order_group_id,
            "order_id": self.order_id,
            "payment_id": self.group.payment.payment_id,
        }

    @property
    def order_id(self) -> str:
        return str(self.group.orders[0].order_id)

    # -- moving it

    async def call(self, request: Message, by: Person | None = None) -> Any:
        """A call that must succeed; its answer is judged as all are."""
        answer = await self.market.call(request, by)
        found = [viewer for viewer, token in self.viewers if by is not None and token == by.token]
        if found:
            self.look(found[0], type(request).__name__, answer)
        return answer

    async def moved(self, request: Message | None = None, by: Person | None = None, *, whole: bool = False) -> None:
        """Move it, do what follows, and let everybody look."""
        if request is not None:
            await self.call(request, by)
        while await self.market.app.core.relay.run_once():
            pass
        order = await self.market.call(order_service_pb2.GetOrderRequest(order_id=self.order_id), self.market.service)
        self.order_state = order_pb2.OrderState.Name(order.order.state).removeprefix("ORDER_STATE_")
        made = delivery_service_pb2.ListDeliveriesRequest(order_ids=[self.order_id])
        for delivery in (await self.market.call(made, self.market.service)).deliveries:
            self.ids["delivery_id"] = delivery.delivery_id
        await self.looked_at(whole=whole)

    async def looked_at(self, *, whole: bool) -> None:
        """Everybody reads all there is to read."""
        asked = []
        for rule in READS:
            request = self.request(rule)
            if request is None or not (whole or MOVING & {each.name for each in rule.request.DESCRIPTOR.fields}):
                continue
            asked += [self._read(viewer, token, rule, request) for viewer, token in self.viewers]
        await asyncio.gather(*asked)

    def request(self, rule: Rule) -> Message | None:
        """The request with the ids of this way; None while there is no such thing yet."""
        request: Any = rule.request()
        for each in rule.request.DESCRIPTOR.fields:
            name, is_list = each.name, each.is_repeated
            if not name.endswith(("_id", "_ids")) or name == "request_id":
                continue
            found = self.ids.get(name.removesuffix("s") if is_list else name, "")
            if not found:
                if name in MOVING:
                    return None
                continue
            if is_list:
                getattr(request, name).append(found)
            else:
                setattr(request, name, found)
        return request  # type: ignore[no-any-return]

    async def _read(self, viewer: Viewer, token: str | None, rule: Rule, request: Message) -> None:
        take = 1 if rule.kind is Kind.SERVER_STREAM else None
        outcome = await self.market.send_as(token, rule.method, request, take=take)
        name = rule.method.rpartition("/")[2]
        for answer in outcome.answers:
            self.look(viewer, name, rule.response.FromString(answer))
        said = outcome.text + outcome.details.decode("latin-1")
        self.wrong += [f"{name} tells {viewer.name} the {each.name} in a status" for each in self.aviary.within(said)]
        if name in FOUND:
            self._found(viewer, name, outcome.code is grpc.StatusCode.OK and bool(outcome.answers))

    def _found(self, viewer: Viewer, name: str, is_found: bool) -> None:
        cell = read_page().found[FOUND[name]][viewer.name]
        own = viewer.name == "buyer" and name == "GetUser"
        expected = own or cell == "yes" or self.order_state in cell.split(", ")
        if name == "WatchDelivery" and viewer.name == "service":
            expected = False
        if viewer.name == "courier" and "delivery_id" in self.ids and not self.is_assigned:
            expected = expected and FOUND[name] in ("Seller",)
        if is_found != expected:
            self.wrong.append(f"{name} {'shows' if is_found else 'refuses'} {viewer.name} ({self.order_state})")

    is_assigned: bool = False

    def look(self, viewer: Viewer, name: str, answer: Message) -> None:
        """Judge one answer."""
        self.wrong += [f"{name} ({self.order_state}): {each}" for each in judge(viewer, answer, self.seen)]
        for path, text in texts(answer):
            for each in self.aviary.within(text):
                if not each.may_stand(path) and not path.endswith(("changes.before", "changes.after")):
                    self.wrong.append(f"{name}.{path} tells {viewer.name} the {each.owner}'s {each.name}")


async def _started(market: Market) -> Way:
    way = Way(market, Aviary(), Seen())
    await way.people()
    return way


@pytest.mark.asyncio(loop_scope="session")
async def test_an_order_that_is_brought_shows_everybody_their_part(market: Market) -> None:
    way = await _started(market)
    seller, admin = way.shop.owner, market.admin
    await way.moved()
    await way.moved(payment(way.group), way.buyer)
    await way.moved(order_service_pb2.AcceptOrderRequest(order_id=way.order_id), seller)
    await way.moved(order_service_pb2.MarkOrderReadyRequest(order_id=way.order_id), seller)
    delivery_id = way.ids["delivery_id"]
    assign = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=way.rider.courier_id)
    way.is_assigned = True
    await way.moved(assign, admin)
    pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=delivery_id)
    await way.moved(pick_up, way.rider.person)
    trip = delivery_service_pb2.GetDeliveryRequest(delivery_id=delivery_id)
    code = (await way.call(trip, way.buyer)).delivery.dropoff_code
    way.aviary.canaries.append(Canary(code, "buyer", "code at the door", (r"delivery\.dropoff_code", r"dropoff_code")))
    complete = delivery_service_pb2.CompleteDeliveryRequest(request_id=new_key(), delivery_id=delivery_id, code=code)
    await way.moved(complete, way.rider.person)
    reason = way.aviary.word("seller", "reason of the refund", "reason", "comment")
    refund = payment_service_pb2.RefundPaymentRequest(
        request_id=new_key(), payment_id=way.ids["payment_id"], reason=reason
    )
    refund.order.order_id = way.order_id
    await way.moved(refund, seller, whole=True)
    await _end(way)


async def _end(way: Way) -> None:
    """What left the house beside the answers: events and letters."""
    market = way.market
    payloads = await market.value("SELECT string_agg(payload::text, E'\\n') FROM outbox_events")
    way.wrong += [f"an event tells the {each.owner}'s {each.name}" for each in way.aviary.within(payloads)]
    await market.settle()
    assert market.settings.mail_dir is not None
    way.wrong += list(_letters(way, market.settings.mail_dir))
    assert way.wrong == [], "\n".join(sorted(set(way.wrong)))


def _letters(way: Way, folder: Path) -> Iterable[str]:
    receivers: dict[str, str] = {each.text: each.owner for each in way.aviary.canaries if each.name == "e-mail"}
    for path in folder.glob("*.eml"):
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        receiver = receivers.get(str(letter["to"]))
        if receiver is None:
            continue
        body = "\n".join(str(part.get_content()) for part in letter.walk() if part.get_content_maintype() == "text")
        for each in way.aviary.within(body):
            if each.owner != receiver:
                yield f"the letter {path.name} tells the {receiver} the {each.owner}'s {each.name}"


def _unused(_: Sequence[object]) -> None:
    """Nothing."""
