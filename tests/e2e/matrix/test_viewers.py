"""Everything that anybody can read, read by everybody while an order goes its ways, is what docs/viewers.md says.

The people's words are canaries. Every answer is judged by the page, field by field, and every word of somebody's that
turns up elsewhere than where it belongs is a leak: in another field, another message, a status, an event or a letter.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from marketd import app as composition
from marketd.kernel.call.caller import Role
from marketd.transport.access import AccessTable
from marketd.transport.rules import Kind, RateClass, Rule
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.auth.v1.address_pb2 import SavedAddress
from marketplace.cart.v1 import cart_service_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2

from tests.viewers import Seen, Viewer, judge, read_page, texts
from tests.worlds.canary_people import Aviary, Canary
from tests.worlds.jobs import hand_on
from tests.worlds.matrix import Market
from tests.worlds.things import PASSWORD, Person, Rider, Shop, new_courier, new_key, new_shop, payment

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
MOVING: Final = {"order_id", "payment_id", "delivery_id", "order_ids", "order_group_id"}
"""Reads that ask for one of these are made after every move, and watches; the others once."""
ANSWERS: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    # There is no receipt of what was never paid.
    grpc.StatusCode.FAILED_PRECONDITION,
}


@dataclass
class Stage:
    """The people of a story, their words, and the order that is on its way."""

    market: Market
    aviary: Aviary = field(default_factory=Aviary)
    seen: Seen = field(default_factory=Seen)
    wrong: list[str] = field(default_factory=list)
    viewers: dict[Viewer, str | None] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    state: str = ""
    brings: str = ""
    """The courier who has it."""
    buyer: Person = field(init=False)
    shop: Shop = field(init=False)
    rider: Rider = field(init=False)
    former: Rider = field(init=False)
    group: order_pb2.OrderGroup = field(init=False)

    # -- people

    async def gather(self) -> None:
        """A buyer, a shop, the courier who will bring it and the one who will not, and everybody else."""
        market = self.market
        self.buyer = await self._register("buyer")
        self.shop = await self._open_shop()
        self.rider, self.former = await self._ride("courier"), await self._ride("former courier")
        seller, rival = self.shop, market.rival
        self.ids = {
            "user_id": self.buyer.user_id,
            "buyer_id": self.buyer.user_id,
            "seller_id": seller.seller_id,
            "courier_id": self.rider.courier_id,
            "product_id": market.goods.product_id,
            "variant_id": market.goods.variant_id,
        }
        self._add("anonymous", "anonymous", None)
        self._add("buyer", "buyer", self.buyer)
        self._add("other buyer", "buyer", market.buyer)
        self._add("seller", "seller", seller.owner, seller_id=seller.seller_id)
        self._add("other seller", "seller", rival.owner, seller_id=rival.seller_id)
        self._add("courier", "courier", self.rider.person, courier_id=self.rider.courier_id)
        self._add("former courier", "courier", self.former.person, courier_id=self.former.courier_id)
        self._add("other courier", "courier", market.other_rider.person, courier_id=market.other_rider.courier_id)
        self._add("admin", "admin", market.admin)
        self._add("service", "service", market.service)
        await self._save_address()

    def _add(self, name: str, kind: str, person: Person | None, **ids: str) -> None:
        viewer = Viewer(name, kind, "" if person is None else person.user_id, **ids)
        self.viewers[viewer] = None if person is None else person.token

    async def _register(self, owner: str) -> Person:
        aviary = self.aviary
        return await self.market.register(
            email=aviary.email(owner, "e-mail", r"users?\.email"),
            phone=aviary.phone(owner, "phone", r"users?\.phone", r"courier\.phone"),
            full_name=aviary.word(owner, "full name", r"users?\.full_name"),
        )

    async def _open_shop(self) -> Shop:
        market, aviary = self.market, self.aviary
        applicant = await self._register("seller")
        request = new_shop()
        door = aviary.address("seller", "door", r"(pickup_address|pickup\.address)", 13.40)
        request.seller.pickup_address.CopyFrom(door)
        contact = request.seller.contact
        contact.name = aviary.word("seller", "contact", r"contact\.name")
        contact.phone = aviary.phone("seller", "contact's phone", r"contact\.phone")
        contact.email = aviary.email("seller", "contact's e-mail", r"contact\.email")
        seller = (await self.call(request, applicant)).seller
        reason = aviary.word("admin", "reason of the approval", "state_reason", "comment")
        approve = seller_service_pb2.ApproveSellerRequest(seller_id=seller.seller_id, reason=reason)
        await self.call(approve, market.admin)
        await market.set_roles(applicant, Role.SELLER)
        return Shop(await market.sign_in(applicant.email), seller.seller_id, seller.handle)

    async def _ride(self, owner: str) -> Rider:
        market, aviary = self.market, self.aviary
        applicant = await self._register(owner)
        request = new_courier()
        request.courier.first_name = aviary.word(owner, "first name", r"couriers?\.first_name")
        request.courier.last_name = aviary.word(owner, "last name", r"couriers?\.last_name")
        request.courier.phone = aviary.phone(owner, "courier's phone", r"couriers?\.phone")
        request.courier.plate_number = aviary.word(owner, "plate", r"couriers?\.plate_number")
        courier = (await self.call(request, applicant)).courier
        await self.call(courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id), market.admin)
        await market.set_roles(applicant, Role.COURIER)
        rider = Rider(await market.sign_in(applicant.email), courier.courier_id)
        await self.call(courier_service_pb2.StartShiftRequest(request_id=new_key()), rider.person)
        return rider

    async def _save_address(self) -> None:
        saved = SavedAddress(
            label=self.aviary.word("buyer", "label", "label"),
            postal_address=self.aviary.address("buyer", "saved address", "postal_address", 13.42),
        )
        request = user_service_pb2.CreateAddressRequest(request_id=new_key(), address=saved)
        self.ids["address_id"] = (await self.call(request, self.buyer)).address.address_id

    # -- the order

    async def place(self) -> None:
        """A new order of the buyer's, to an address that no other goes to."""
        home = self.aviary.address(
            "buyer", "home", r"(^address|(orders?|dropoff)\.address|receipt\.buyer_address)", 13.41
        )
        goods = await self.market.product(self.shop)
        await self.call(cart_service_pb2.AddCartItemRequest(variant_id=goods.variant_id, quantity=2), self.buyer)
        quote = await self.call(cart_service_pb2.QuoteOrderRequest(address=home), self.buyer)
        placing = order_service_pb2.PlaceOrderRequest(
            request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
        )
        self.group = (await self.call(placing, self.buyer)).order_group
        self.ids |= {
            "order_group_id": self.group.order_group_id,
            "order_id": self.group.orders[0].order_id,
            "payment_id": self.group.payment.payment_id,
        }
        self.ids.pop("delivery_id", None)
        self.brings = ""
        await self.show()

    async def paid(self) -> None:
        """An order that waits for the seller."""
        await self.place()
        await self.move(payment(self.group), self.buyer)

    async def picked_up(self) -> None:
        """An order that the courier has, whom it was given after another one."""
        await self.paid()
        order_id, owner, admin = self.ids["order_id"], self.shop.owner, self.market.admin
        await self.move(order_service_pb2.AcceptOrderRequest(order_id=order_id), owner)
        await self.move(order_service_pb2.MarkOrderReadyRequest(order_id=order_id), owner)
        delivery_id = self.ids["delivery_id"]
        self.brings = "former courier"
        first, second = self.former.courier_id, self.rider.courier_id
        await self.move(delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=first), admin)
        self.brings = "courier"
        reason = self.aviary.word("admin", "reason of the change", "comment")
        await self.move(
            delivery_service_pb2.ReassignDeliveryRequest(delivery_id=delivery_id, courier_id=second, reason=reason),
            admin,
        )
        pick_up = delivery_service_pb2.PickUpDeliveryRequest(request_id=new_key(), delivery_id=delivery_id)
        await self.move(pick_up, self.rider.person)

    async def code(self) -> str:
        """What the buyer tells at the door."""
        request = delivery_service_pb2.GetDeliveryRequest(delivery_id=self.ids["delivery_id"])
        code: str = (await self.call(request, self.buyer)).delivery.dropoff_code
        self.aviary.canaries.append(Canary(code, "buyer", "code of a delivery", ("dropoff_code",)))
        return code

    # -- what is shown

    async def call(self, request: Message, by: Person) -> Any:
        """A call that must succeed; its answer is looked at as all are."""
        answer = await self.market.call(request, by)
        for viewer in self.viewers:
            if viewer.user_id == by.user_id:
                self.look(viewer, type(request).__name__, answer)
        return answer

    async def move(self, request: Message, by: Person) -> None:
        """Move it, do what follows, and let everybody look."""
        await self.call(request, by)
        await self.show()

    async def show(self, *, whole: bool = False) -> None:
        """Everybody reads what there is to read of the order; with `whole` whatever else there is too."""
        market = self.market
        await hand_on(market.app.core.relay)
        read = order_service_pb2.GetOrderRequest(order_id=self.ids["order_id"])
        order = (await market.call(read, market.service)).order
        self.state = order_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")
        if order.delivery_id:
            self.ids["delivery_id"] = order.delivery_id
        asked = [(rule, request) for rule in READS if (request := self.request(rule, whole=whole)) is not None]
        # Each their calls one after the other: more at once than the pool of connections has would be refused.
        await asyncio.gather(*(self._read(viewer, token, asked) for viewer, token in self.viewers.items()))

    def request(self, rule: Rule, *, whole: bool) -> Message | None:
        """The method's request with the ids of this story; None when there is nothing to ask for."""
        names = [each for each in rule.request.DESCRIPTOR.fields if each.name.endswith(("_id", "_ids"))]
        is_moving = bool(MOVING & {each.name for each in names}) or rule.kind is Kind.SERVER_STREAM
        if not whole and not is_moving:
            return None
        request: Any = rule.request()
        for each in names:
            name = each.name.removesuffix("s") if each.is_repeated else each.name
            if name not in self.ids and each.name in MOVING:
                return None
            if not each.is_repeated:
                # What there is none of in this story may be asked for all the same.
                setattr(request, each.name, self.ids.get(name) or new_key())
            elif name in self.ids:
                getattr(request, each.name).append(self.ids[name])
        return request  # type: ignore[no-any-return]

    async def _read(self, viewer: Viewer, token: str | None, asked: Sequence[tuple[Rule, Message]]) -> None:
        for rule, request in asked:
            take = 1 if rule.kind is Kind.SERVER_STREAM else None
            outcome = await self.market.send_as(token, rule.method, request, take=take)
            name = rule.method.rpartition("/")[2]
            if outcome.code not in ANSWERS:
                self.wrong.append(f"{name} answers {viewer.name} {outcome}")
            for answer in outcome.answers:
                self.look(viewer, name, rule.response.FromString(answer))
            said = outcome.text + outcome.details.decode("latin-1")
            self.wrong += [f"a status tells {viewer.name} {each}" for each in self.aviary.within(said)]
            if name in FOUND and bool(outcome.answers) != self._is_found(viewer, FOUND[name]):
                self.wrong.append(f"{name} {'shows' if outcome.answers else 'refuses'} {viewer.name} ({self.state})")

    def _is_found(self, viewer: Viewer, thing: str) -> bool:
        """As the page says; each courier may be the one, the one before, or any other."""
        row, name = read_page().found[thing], viewer.name
        if viewer.kind == "courier" and thing != "Seller":
            name = "courier" if name == self.brings else "former courier"
        is_own = thing == "User" and viewer.user_id == self.ids["user_id"]
        return is_own or row[name] == "yes" or self.state in row[name].split(", ")

    def look(self, viewer: Viewer, name: str, answer: Message) -> None:
        """Judge one answer."""
        self.wrong += [f"{name} ({self.state}): {each}" for each in judge(viewer, answer, self.seen)]
        for path, text in texts(answer):
            self.wrong += [
                f"{name}.{path} tells {viewer.name} {each}"
                for each in self.aviary.within(text)
                if not each.may_stand(path) and not path.endswith(("changes.before", "changes.after"))
            ]

    async def end(self) -> None:
        """What left the house beside the answers, events and letters; and nothing was wrong."""
        market = self.market
        await self.call(
            auth_service_pb2.SendVerificationRequest(channel=auth_service_pb2.VERIFICATION_CHANNEL_EMAIL), self.buyer
        )
        await market.call(auth_service_pb2.RequestPasswordResetRequest(email=self.shop.owner.email))
        await market.settle()
        events = await market.value("SELECT string_agg(payload::text, ' ') FROM outbox_events")
        self.wrong += [f"an event tells {each}" for each in self.aviary.within(events)]
        assert market.settings.mail_dir is not None
        self.wrong += self._letters(market.settings.mail_dir)
        assert self.wrong == [], "\n".join(sorted(set(self.wrong)))

    async def forget(self, person: Person, *owners: str) -> None:
        """Somebody deletes the account: no table keeps a word of theirs, but for the region that goods went to."""
        # The people of the matrix have one role each, which went with the shop or with the courier.
        await self.market.set_roles(person, Role.BUYER)
        again = await self.market.sign_in(person.email)
        await self.call(user_service_pb2.DeleteUserRequest(user_id=person.user_id, password=PASSWORD), again)
        self.viewers = {viewer: token for viewer, token in self.viewers.items() if viewer.user_id != person.user_id}
        await self.market.settle()
        texts_by_table = await self.market.texts()
        # What others were answered is theirs to repeat, for a day; and what they asked the price of, for less.
        for table in ("idempotency_keys", "quotes"):
            del texts_by_table[table]
        for table, text in texts_by_table.items():
            gone = [each for each in self.aviary.within(text) if each.owner in owners and each.is_gone]
            self.wrong += [f"table {table} keeps {each}" for each in gone]

    def _letters(self, folder: Path) -> Iterator[str]:
        """Each letter to one of these people has words of nobody else's."""
        receivers = {each.text: each.owner for each in self.aviary.canaries if each.name == "e-mail"}
        read = 0
        for path in folder.glob("*.eml"):
            letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            receiver = receivers.get(str(letter["to"]))
            if receiver is None:
                continue
            read += 1
            body = "\n".join(str(part.get_content()) for part in letter.walk() if part.get_content_maintype() == "text")
            yield from (f"{path.name} tells {each}" for each in self.aviary.within(body) if each.owner != receiver)
        assert read > 1, "hardly anybody got a letter"


@pytest_asyncio.fixture(loop_scope="session")
async def stage(market: Market) -> Stage:
    """The people of a story."""
    made = Stage(market)
    await made.gather()
    return made


@pytest.mark.asyncio(loop_scope="session")
async def test_an_order_that_is_brought_shows_everybody_their_part(stage: Stage) -> None:
    await stage.picked_up()
    await stage.move(
        delivery_service_pb2.CompleteDeliveryRequest(
            request_id=new_key(), delivery_id=stage.ids["delivery_id"], code=await stage.code()
        ),
        stage.rider.person,
    )
    reason = stage.aviary.word("seller", "reason of the refund", "reason", "comment")
    refund = payment_service_pb2.RefundPaymentRequest(
        request_id=new_key(), payment_id=stage.ids["payment_id"], reason=reason
    )
    refund.order.order_id = stage.ids["order_id"]
    await stage.move(refund, stage.shop.owner)
    assert stage.state == "REFUNDED"
    await stage.show(whole=True)
    await stage.end()
    await stage.forget(stage.buyer, "buyer")
    await stage.show(whole=True)
    assert stage.wrong == [], "\n".join(sorted(set(stage.wrong)))


@pytest.mark.asyncio(loop_scope="session")
async def test_an_order_that_is_called_off_shows_everybody_their_part(stage: Stage) -> None:
    note = stage.aviary.word("admin", "suspicion", r"cancellations?\.note", "comment")
    await stage.paid()
    cancel = order_service_pb2.CancelOrderRequest(
        request_id=new_key(),
        order_id=stage.ids["order_id"],
        reason=order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD,
        note=note,
    )
    await stage.move(cancel, stage.market.admin)
    assert stage.state == "CANCELLED"
    await stage.paid()
    reject = order_service_pb2.RejectOrderRequest(
        order_id=stage.ids["order_id"], reason=order_pb2.CANCELLATION_REASON_SUSPECTED_FRAUD, note=note
    )
    await stage.move(reject, stage.shop.owner)
    assert stage.state == "REJECTED"
    await stage.place()
    change = order_service_pb2.CancelOrderRequest(
        request_id=new_key(),
        order_id=stage.ids["order_id"],
        reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND,
        note=stage.aviary.word("buyer", "note", r"cancellations?\.note"),
    )
    await stage.move(change, stage.buyer)
    await stage.end()
    await stage.forget(stage.buyer, "buyer")
    assert stage.wrong == [], "\n".join(sorted(set(stage.wrong)))


@pytest.mark.asyncio(loop_scope="session")
async def test_an_order_that_cannot_be_handed_over_shows_everybody_their_part(stage: Stage) -> None:
    await stage.picked_up()
    note = stage.aviary.word("work", "note at the door", r"failure\.note", r"cancellations?\.note", "comment")
    failed: dict[str, Any] = {
        "delivery_id": stage.ids["delivery_id"],
        "reason": delivery_pb2.DELIVERY_FAILURE_REASON_BUYER_ABSENT,
        "note": note,
    }
    fail = delivery_service_pb2.FailDeliveryRequest(request_id=new_key(), **failed)
    await stage.move(fail, stage.rider.person)
    assert stage.state == "CANCELLED"
    back = delivery_service_pb2.ReturnToSellerRequest(request_id=new_key(), **failed)
    await stage.move(back, stage.rider.person)
    await stage.end()
    rider, shop = stage.rider, stage.shop
    await stage.call(courier_service_pb2.EndShiftRequest(request_id=new_key()), rider.person)
    await stage.call(courier_service_pb2.CloseCourierRequest(courier_id=rider.courier_id), rider.person)
    await stage.forget(rider.person, "courier")
    await stage.call(seller_service_pb2.CloseSellerRequest(seller_id=shop.seller_id), shop.owner)
    await stage.forget(shop.owner, "seller")
    await stage.show(whole=True)
    assert stage.wrong == [], "\n".join(sorted(set(stage.wrong)))
