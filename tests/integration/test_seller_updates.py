"""Changing and listing sellers on real Postgres: what changes and what stays, who may, and who finds which."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import MONDAY
from google.type.latlng_pb2 import LatLng
from google.type.timeofday_pb2 import TimeOfDay
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound, PageTokenInvalid, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.seller import life
from marketd.seller.errors import TimeZoneUnknown
from marketd.seller.service import hold_sql
from marketd.seller.servicer import SellerServicer
from marketd.seller.values import SellerMove
from marketplace.seller.v1 import seller_service_pb2 as pb
from marketplace.seller.v1.seller_pb2 import (
    SELLER_STATE_ACTIVE,
    SELLER_STATE_CLOSED,
    SELLER_STATE_PENDING,
    SELLER_STATE_SUSPENDED,
    OpeningException,
    OpeningHours,
    OpeningSpan,
    Seller,
)
from marketplace.type.v1.address_pb2 import Address, Contact

from tests.worlds.built import Built
from tests.worlds.calls import caller_of
from tests.worlds.goods import Goods, Shop
from tests.worlds.parts import make_parts

CONTEXT = cast("Any", None)
SERVICE = Caller(None, None, frozenset({Role.SERVICE}), "192.0.2.9")


class Street:
    """A few shops, and the calls that change and list them."""

    def __init__(self, tx: Transactor) -> None:
        self.tx, self.goods = tx, Goods(tx)
        self._servicer = Built(make_parts(tx), "seller").servicer(SellerServicer)

    async def update(self, caller: Caller, seller: Seller, *paths: str) -> Seller:
        calls.enter(Call(method="/marketplace.seller.v1.SellerService/UpdateSeller", caller=caller))
        request = pb.UpdateSellerRequest(seller=seller, update_mask=FieldMask(paths=paths))
        return (await self._servicer.UpdateSeller(request, CONTEXT)).seller

    async def get(self, caller: Caller, seller_id: UUID | str) -> Seller:
        calls.enter(Call(caller=caller))
        return (await self._servicer.GetSeller(pb.GetSellerRequest(seller_id=str(seller_id)), CONTEXT)).seller

    async def mine(self, caller: Caller) -> Seller:
        calls.enter(Call(caller=caller))
        return (await self._servicer.GetMySeller(pb.GetMySellerRequest(), CONTEXT)).seller

    async def page(self, caller: Caller, **fields: Any) -> pb.ListSellersResponse:
        calls.enter(Call(caller=caller))
        return await self._servicer.ListSellers(pb.ListSellersRequest(**fields), CONTEXT)

    async def names(self, caller: Caller, **fields: Any) -> list[str]:
        return [seller.shop_name for seller in (await self.page(caller, **fields)).sellers]

    async def apply(self, name: str) -> Shop:
        """An applicant."""
        caller = await self.goods.account(Role.BUYER)
        calls.enter(Call(caller=caller))
        request = pb.CreateSellerRequest(seller=Seller(shop_name=name, pickup_address=Address(lines=["Markt 1"])))
        seller = (await self._servicer.CreateSeller(request, CONTEXT)).seller
        return Shop(UUID(seller.seller_id), caller)

    async def open(self, name: str) -> Shop:
        """A shop of that name that sells."""
        shop = await self.apply(name)
        move = SellerMove(shop.seller_id, "", "")
        await self.tx.run("test.approve", lambda uow: life.approve_seller(uow, self.goods.admin, move))
        return Shop(shop.seller_id, caller_of(shop.caller.known_user_id, Role.BUYER, Role.SELLER))

    async def end(self, shop: Shop, verb: str) -> None:
        """Suspend, close or reject it."""
        move = SellerMove(shop.seller_id, "a reason", "")
        match verb:
            case "suspend":
                await self.tx.run("test.suspend", lambda uow: life.suspend_seller(uow, self.goods.admin, move))
            case "close":
                await self.tx.run("test.close", lambda uow: life.close_seller(uow, self.goods.admin, move, ()))
            case "reject":
                await self.tx.run("test.reject", lambda uow: life.reject_seller(uow, self.goods.admin, move))


@pytest.fixture
def street(tx: Transactor) -> Street:
    return Street(tx)


FILLED: dict[str, Any] = {
    "shop_name": "Käse & Mehr",
    "description": "Cheese",
    "pickup_address": Address(lines=["Markt 1"], city="Berlin", point=LatLng(latitude=52.5, longitude=13.4)),
    "contact": Contact(name="Jo", phone="+491701234567", email="jo@shop.example"),
    "prep_duration": Duration(seconds=1200),
    "time_zone": "Europe/Berlin",
    "opening_hours": [OpeningHours(day=MONDAY, open_time=TimeOfDay(hours=9), close_time=TimeOfDay(hours=18))],
    "opening_exceptions": [OpeningException(date=Date(year=2026, month=12, day=24), note="Christmas")],
}
# What is left of a field that was cleared.
CLEARED: dict[str, Any] = {
    "description": "",
    "contact": Contact(),
    "prep_duration": Duration(seconds=900),
    "time_zone": "UTC",
    "opening_hours": [],
    "opening_exceptions": [],
}


def _whole(shop: Shop, **fields: Any) -> Seller:
    return Seller(seller_id=str(shop.seller_id), **fields)


async def test_an_owner_changes_all_that_the_shop_says_and_clears_what_need_not_be_said(street: Street) -> None:
    shop = await street.open("Shop")
    before = await street.get(shop.caller, shop.seller_id)
    filled = await street.update(shop.caller, _whole(shop, **FILLED))
    for name, value in FILLED.items():
        assert getattr(filled, name) == value, name
    assert (filled.handle, filled.state, filled.create_time) == (before.handle, before.state, before.create_time)
    assert filled.etag != before.etag
    assert await street.get(shop.caller, shop.seller_id) == filled
    for name, left in CLEARED.items():
        cleared = await street.update(shop.caller, _whole(shop), name)
        assert getattr(cleared, name) == left, name
        others = [each for each in FILLED if each != name]
        assert [getattr(cleared, each) for each in others] == [FILLED[each] for each in others], name
        await street.update(shop.caller, _whole(shop, **FILLED))
    # What has presence is cleared by saying that it is empty, without a mask as well.
    silent = await street.update(shop.caller, _whole(shop, description="", time_zone=""))
    assert (silent.HasField("description"), silent.time_zone) == (False, "UTC")


async def test_a_mask_reaches_into_the_address_and_the_contact(street: Street) -> None:
    shop = await street.open("Shop")
    await street.update(shop.caller, _whole(shop, **FILLED))
    moved = await street.update(
        shop.caller,
        _whole(shop, pickup_address=Address(city="Potsdam", region="ignored"), contact=Contact(name="ignored")),
        "pickup_address.city",
        "pickup_address.point",
        "contact.phone",
    )
    assert moved.pickup_address == Address(lines=["Markt 1"], city="Potsdam")
    assert moved.contact == Contact(name="Jo", email="jo@shop.example")


async def test_what_is_so_already_writes_nothing_and_a_stale_etag_is_refused(street: Street) -> None:
    shop = await street.open("Shop")
    known = await street.update(shop.caller, _whole(shop, **FILLED))
    entries = await street.goods.value("SELECT count(*) FROM audit_entries")
    for paths in ((), ("*",), ("pickup_address.city",)):
        assert await street.update(shop.caller, known, *paths) == known
    assert await street.goods.value("SELECT count(*) FROM audit_entries") == entries
    assert await street.goods.value("SELECT version FROM sellers WHERE seller_id = $1", shop.seller_id) == 3
    now = await street.update(shop.caller, _whole(shop, description="Bread"))
    with pytest.raises(EtagMismatch) as refused:
        await street.update(shop.caller, _whole(shop, description="Wine", etag=known.etag))
    assert refused.value.metadata["etag"] == now.etag


async def test_only_the_owner_and_admins_change_a_shop_and_the_log_says_what(street: Street) -> None:
    shop, rival = await street.open("Shop"), await street.open("Rival")
    for stranger in (rival.caller, await street.goods.buyer()):
        with pytest.raises(NotFound):
            await street.update(stranger, _whole(shop, shop_name="Mine"))
    with pytest.raises(NotFound):
        await street.update(shop.caller, Seller(seller_id=str(new_id()), shop_name="Nobody's"))
    admin = street.goods.admin
    await street.update(admin, _whole(shop, shop_name="Renamed", opening_hours=FILLED["opening_hours"]))
    row = await street.tx.read(
        lambda unit: unit.connection.fetchrow(
            "SELECT actor_id, changes FROM audit_entries WHERE method LIKE '%/UpdateSeller'"
        )
    )
    assert row is not None
    assert row["actor_id"] == admin.user_id
    said = {change["field"]: (change["before"], change["after"]) for change in row["changes"]}
    assert said["shop_name"] == ("Shop", "Renamed")
    assert {name.partition("[")[0].partition(".")[0] for name in said} == {"shop_name", "opening_hours"}


async def test_an_application_may_be_set_right_and_a_suspended_shop_too_but_none_that_is_over(street: Street) -> None:
    applicant, turned_down = await street.apply("Applicant"), await street.apply("Turned down")
    suspended, closed = await street.open("Suspended"), await street.open("Closed")
    await street.end(suspended, "suspend")
    for shop in (applicant, suspended):
        assert (await street.update(shop.caller, _whole(shop, description="Better"))).description == "Better"
    await street.end(turned_down, "reject")
    await street.end(closed, "close")
    for shop in (turned_down, closed):
        for caller in (shop.caller, street.goods.admin):
            with pytest.raises(IllegalTransition):
                await street.update(caller, _whole(shop, description="Better"))


async def test_opening_hours_and_zones_that_cannot_be_meant_are_refused(street: Street) -> None:
    shop = await street.open("Shop")
    span = OpeningSpan(open_time=TimeOfDay(hours=9), close_time=TimeOfDay(hours=12))
    twice = OpeningException(date=Date(year=2026, month=12, day=24), spans=[span, span])
    with pytest.raises(ValidationFailed) as refused:
        await street.update(shop.caller, _whole(shop, opening_exceptions=[twice]))
    assert [each.field for each in refused.value.fields] == ["seller.opening_exceptions[0].spans[1]"]
    with pytest.raises(TimeZoneUnknown):
        await street.update(shop.caller, _whole(shop, time_zone="Mars/Olympus"))


async def test_a_change_does_not_wait_for_orders_that_are_being_placed(street: Street) -> None:
    shop = await street.open("Shop")

    async def placing(uow: UnitOfWork) -> Seller:
        await uow.connection.fetch(hold_sql("$1"), [shop.seller_id])
        async with asyncio.timeout(5):
            return await asyncio.create_task(street.update(shop.caller, _whole(shop, description="Busy")))

    assert (await street.tx.run("test.place", placing)).description == "Busy"


async def test_my_seller_is_the_one_that_is_not_over(street: Street) -> None:
    shop = await street.open("Shop")
    assert await street.mine(shop.caller) == await street.get(shop.caller, shop.seller_id)
    await street.end(shop, "suspend")
    assert (await street.mine(shop.caller)).state == SELLER_STATE_SUSPENDED
    await street.end(shop, "close")
    with pytest.raises(NotFound):
        await street.mine(shop.caller)
    with pytest.raises(NotFound):
        await street.mine(await street.goods.buyer())


async def test_lists_show_what_sells_to_all_and_the_rest_to_whom_it_belongs(street: Street) -> None:
    open_one, applicant = await street.open("Open"), await street.apply("Applicant")
    suspended, closed = await street.open("Suspended"), await street.open("Closed")
    await street.end(suspended, "suspend")
    await street.end(closed, "close")
    every = ["Applicant", "Closed", "Open", "Suspended"]
    waiting = [SELLER_STATE_PENDING]
    for stranger in (ANONYMOUS, open_one.caller):
        assert await street.names(stranger) == ["Open"]
        assert await street.names(stranger, states=waiting) == []
    for staff in (street.goods.admin, SERVICE):
        assert await street.names(staff) == every
        assert await street.names(staff, states=waiting) == ["Applicant"]
        assert await street.names(staff, states=[SELLER_STATE_CLOSED, SELLER_STATE_ACTIVE]) == ["Closed", "Open"]
    assert await street.names(applicant.caller, states=waiting) == ["Applicant"]
    assert await street.names(closed.caller, states=[SELLER_STATE_CLOSED, SELLER_STATE_ACTIVE]) == ["Closed", "Open"]
    # What has sold once shows for good: orders and products lead there.
    for shop, state in ((suspended, SELLER_STATE_SUSPENDED), (closed, SELLER_STATE_CLOSED)):
        assert (await street.get(ANONYMOUS, shop.seller_id)).state == state
    for caller, is_whole in ((ANONYMOUS, False), (open_one.caller, True), (street.goods.admin, True)):
        (seen,) = (await street.page(caller, states=[SELLER_STATE_ACTIVE])).sellers
        assert seen.HasField("pickup_address") is is_whole
        assert bool(seen.owner_user_id) is is_whole


async def test_lists_are_walked_in_their_orders_and_begin_as_a_name_does(street: Street) -> None:
    made = ["Éclair", "eclipse", "ÉCLAIR", "Apple", "Zoo"]
    shops = [await street.open(name) for name in made]
    # By the key: case does not count, and names of one key come in the order of their ids.
    by_name = ["Apple", "eclipse", "Zoo", "Éclair", "ÉCLAIR"]
    for order, expected in (
        ("", by_name),
        ("shop_name desc", by_name[::-1]),
        ("create_time", made),
        ("create_time desc", made[::-1]),
    ):
        for size in (1, 2, 5):
            walked, token = [], ""
            while True:
                page = await street.page(ANONYMOUS, order_by=order, page_size=size, page_token=token)
                walked += [seller.shop_name for seller in page.sellers]
                token = page.next_page_token
                if not token:
                    break
            assert walked == expected, (order, size)
    assert await street.names(ANONYMOUS, shop_name_prefix="éCL") == ["Éclair", "ÉCLAIR"]
    assert await street.names(ANONYMOUS, shop_name_prefix="zoom") == []
    await street.update(street.goods.admin, _whole(shops[3], shop_name="Quince"))
    assert [await street.names(ANONYMOUS, shop_name_prefix=each) for each in ("qui", "app")] == [["Quince"], []]
    first = await street.page(street.goods.admin, page_size=2)
    with pytest.raises(PageTokenInvalid):
        await street.page(ANONYMOUS, page_size=2, page_token=first.next_page_token)
    with pytest.raises(ValidationFailed):
        await street.page(ANONYMOUS, order_by="owner_user_id")
