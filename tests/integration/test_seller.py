"""Sellers on real Postgres: applying once, approval with its role, and who sees what."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.type.date_pb2 import Date
from google.type.dayofweek_pb2 import MONDAY, SUNDAY
from google.type.latlng_pb2 import LatLng
from google.type.timeofday_pb2 import TimeOfDay
from marketd.auth.accounts import create, find
from marketd.commands.shops import NoSuchShop, seller_id_of
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import ANONYMOUS, Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, EtagMismatch, IllegalTransition, NotFound, ValidationFailed
from marketd.kernel.db.database import Record
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.seller import service
from marketd.seller.errors import TimeZoneUnknown
from marketd.seller.model import SellerState
from marketd.seller.servicer import SellerServicer
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1.address_pb2 import Address, Contact

from tests.worlds.built import Built
from tests.worlds.parts import make_parts
from tests.worlds.stocks import seller as stock_seller

# The servicer takes nothing from the rpc's context: what it needs of the call is in kernel.call.
CONTEXT = cast("Any", None)
ADMIN = Caller(new_id(), new_id(), frozenset({Role.ADMIN}), "192.0.2.9")


def _servicer(tx: Transactor) -> SellerServicer:
    return Built(make_parts(tx), "seller").servicer(SellerServicer)


async def _account(tx: Transactor) -> Caller:
    user_id = new_id()
    new = create.NewAccount(f"{user_id}@shop.example", "", "", "Jo Doe", "no hash")
    account = await tx.run("test.account", lambda uow: create.create_account(uow, new, frozenset({Role.BUYER})))
    return Caller(account.user_id, new_id(), account.roles, "192.0.2.7")


def _request(**changes: Any) -> seller_service_pb2.CreateSellerRequest:
    whole: dict[str, Any] = {
        "shop_name": "Käse & Mehr",
        "description": "Cheese",
        "pickup_address": Address(lines=["Markt 1"], city="Berlin", point=LatLng(latitude=52.5, longitude=13.4)),
        "contact": Contact(name="Jo", phone="+491701234567"),
        "time_zone": "UTC",
        "opening_hours": [
            seller_pb2.OpeningHours(
                day=MONDAY, open_time=TimeOfDay(hours=9, minutes=30), close_time=TimeOfDay(hours=24)
            )
        ],
    }
    seller = seller_pb2.Seller(**{**whole, **changes})
    return seller_service_pb2.CreateSellerRequest(request_id=str(uuid4()), seller=seller)


async def _create(tx: Transactor, caller: Caller, **changes: Any) -> seller_pb2.Seller:
    calls.enter(Call(caller=caller))
    answer = await _servicer(tx).CreateSeller(_request(**changes), CONTEXT)
    return answer.seller


async def _approve(
    tx: Transactor, seller_id: str, reason: str = "papers are in order", etag: str = ""
) -> seller_pb2.Seller:
    calls.enter(Call(method="/marketplace.seller.v1.SellerService/ApproveSeller", caller=ADMIN))
    request = seller_service_pb2.ApproveSellerRequest(seller_id=seller_id, reason=reason, etag=etag)
    return (await _servicer(tx).ApproveSeller(request, CONTEXT)).seller


async def _get(tx: Transactor, caller: Caller, **lookup: str) -> seller_pb2.Seller:
    calls.enter(Call(caller=caller))
    request = seller_service_pb2.GetSellerRequest(**lookup)
    return (await _servicer(tx).GetSeller(request, CONTEXT)).seller


async def _rows(tx: Transactor, sql: str) -> list[Record]:
    return await tx.read(lambda unit: unit.connection.fetch(sql))


async def test_a_new_seller_waits_for_approval_with_all_it_said(tx: Transactor) -> None:
    owner = await _account(tx)
    seller = await _create(tx, owner)
    assert seller.state == seller_pb2.SELLER_STATE_PENDING
    assert (seller.handle, seller.prep_duration.seconds, seller.time_zone) == ("kase-mehr", 900, "UTC")
    assert seller.pickup_address.point.latitude == 52.5
    assert seller.owner_user_id == str(owner.user_id)
    (span,) = seller.opening_hours
    assert (span.day, span.open_time, span.close_time) == (
        MONDAY,
        TimeOfDay(hours=9, minutes=30),
        TimeOfDay(hours=24),
    )
    assert not seller.HasField("approve_time")
    assert await _get(tx, owner, seller_id=seller.seller_id) == seller


def _span(begin: int, end: int) -> seller_pb2.OpeningSpan:
    return seller_pb2.OpeningSpan(open_time=TimeOfDay(hours=begin), close_time=TimeOfDay(hours=end))


async def test_days_that_are_otherwise_come_back_as_they_were_given(tx: Transactor) -> None:
    exceptions = [
        seller_pb2.OpeningException(date=Date(year=2026, month=12, day=24), spans=[_span(9, 14), _span(22, 2)]),
        seller_pb2.OpeningException(date=Date(year=2028, month=2, day=29), note="Leap day"),
    ]
    owner = await _account(tx)
    seller = await _create(tx, owner, opening_exceptions=exceptions)
    assert list(seller.opening_exceptions) == exceptions
    await _approve(tx, seller.seller_id)
    assert list((await _get(tx, ANONYMOUS, seller_id=seller.seller_id)).opening_exceptions) == exceptions


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (
            {
                "opening_hours": [
                    seller_pb2.OpeningHours(
                        day=SUNDAY, open_time=TimeOfDay(hours=20), close_time=TimeOfDay(hours=3, minutes=1)
                    ),
                    seller_pb2.OpeningHours(day=MONDAY, open_time=TimeOfDay(hours=3), close_time=TimeOfDay(hours=9)),
                ]
            },
            ["seller.opening_hours[1]"],
        ),
        (
            {
                "opening_exceptions": [
                    seller_pb2.OpeningException(date=Date(year=2026, month=5, day=1)),
                    seller_pb2.OpeningException(
                        date=Date(year=2026, month=5, day=2), spans=[_span(9, 14), _span(13, 15)]
                    ),
                    seller_pb2.OpeningException(date=Date(year=2026, month=5, day=1), spans=[_span(9, 14)]),
                ]
            },
            ["seller.opening_exceptions[1].spans[1]", "seller.opening_exceptions[2].date"],
        ),
        *(
            (
                {"opening_exceptions": [seller_pb2.OpeningException(date=Date(year=year, month=month, day=day))]},
                ["seller.opening_exceptions[0].date"],
            )
            for year, month, day in ((2026, 2, 29), (0, 12, 24), (2026, 12, 0), (2026, 13, 1), (-1, 1, 1))
        ),
    ],
)
async def test_opening_hours_that_cannot_be_meant_are_refused_at_their_paths(
    tx: Transactor, changes: dict[str, Any], fields: list[str]
) -> None:
    owner = await _account(tx)
    with pytest.raises(ValidationFailed) as refused:
        await _create(tx, owner, **changes)
    assert [violation.field for violation in refused.value.fields] == fields
    assert await _rows(tx, "SELECT 1 FROM sellers") == []


async def test_approval_lets_it_sell_and_gives_the_account_its_role_in_one_transaction(tx: Transactor) -> None:
    owner = await _account(tx)
    seller = await _create(tx, owner)
    approved = await _approve(tx, seller.seller_id)
    assert approved.state == seller_pb2.SELLER_STATE_ACTIVE
    assert approved.HasField("approve_time")
    assert approved.etag != seller.etag
    account = await tx.read(lambda unit: find.get_user(unit, owner, owner.known_user_id))
    assert account.roles == {Role.BUYER, Role.SELLER}
    changes = await _rows(tx, "SELECT kind, user_id FROM access_changes")
    assert [tuple(row.values()) for row in changes] == [("ROLE_GRANTED", owner.user_id)]
    events = await _rows(tx, "SELECT event_type FROM outbox_events ORDER BY position")
    assert [row[0] for row in events] == ["seller.created", "account.access_changed", "seller.approved"]


async def test_what_was_not_given_is_absent_and_what_was_given_as_nothing_stays(tx: Transactor) -> None:
    bare = await _create(tx, await _account(tx), description="", contact=None, prep_duration=Duration(), time_zone="")
    present = {field.name for field, _ in bare.ListFields()}
    assert present & {"description", "logo", "state_reason", "contact", "approve_time"} == set()
    assert (bare.rating.count, bare.rating.HasField("average")) == (0, False)
    assert (bare.prep_duration, bare.time_zone) == (Duration(), "UTC")


async def test_of_two_approvals_at_once_both_are_told_and_one_counts(tx: Transactor) -> None:
    seller = await _create(tx, await _account(tx))
    first, second = await asyncio.gather(*(asyncio.create_task(_approve(tx, seller.seller_id)) for _ in range(2)))
    assert first == second
    events = await _rows(tx, "SELECT event_type FROM outbox_events WHERE event_type = 'seller.approved'")
    assert len(events) == 1
    entries = await _rows(
        tx,
        "SELECT actor_id, resource_type || '/' || resource_id, code, refusal_reason, comment, remote_address, method"
        " FROM audit_entries WHERE method LIKE '%/ApproveSeller'",
    )
    mine = (ADMIN.user_id, f"seller/{seller.seller_id}")
    rest = ("papers are in order", "192.0.2.9", "/marketplace.seller.v1.SellerService/ApproveSeller")
    # The entry of the call that changed nothing is the edge's to leave.
    assert [tuple(row.values()) for row in entries] == [(*mine, "OK", "", *rest)]


async def test_an_approval_repeated_after_a_lost_answer_changes_nothing(tx: Transactor) -> None:
    seller = await _create(tx, await _account(tx))
    approved = await _approve(tx, seller.seller_id, etag=seller.etag)
    # The caller who repeats knows only the etag from before.
    assert await _approve(tx, seller.seller_id, etag=seller.etag) == approved
    with pytest.raises(EtagMismatch):
        await _approve(tx, seller.seller_id, "another reason", etag=seller.etag)
    with pytest.raises(IllegalTransition):
        await _approve(tx, seller.seller_id, "another reason")


async def test_a_stale_etag_refuses_the_approval_and_names_the_one_of_now(tx: Transactor) -> None:
    seller = await _create(tx, await _account(tx))
    await tx.run("test.touch", lambda uow: uow.connection.execute("UPDATE sellers SET version = version + 1"))
    with pytest.raises(EtagMismatch) as refused:
        await _approve(tx, seller.seller_id, etag=seller.etag)
    assert (await _approve(tx, seller.seller_id, etag=refused.value.metadata["etag"])).state == (
        seller_pb2.SELLER_STATE_ACTIVE
    )


async def test_approving_nobody_is_not_found(tx: Transactor) -> None:
    with pytest.raises(NotFound):
        await _approve(tx, str(uuid4()))


async def test_a_repeat_with_the_same_request_id_gets_the_first_answer(tx: Transactor) -> None:
    owner = await _account(tx)
    once = OnceKey(owner.key, "/marketplace.seller.v1.SellerService/CreateSeller", str(uuid4()), b"same")
    answers = []
    for _ in range(2):
        calls.enter(Call(caller=owner, once=once))
        answers.append(await _servicer(tx).CreateSeller(_request(), CONTEXT))
    assert answers[0] == answers[1]
    assert len(await _rows(tx, "SELECT 1 FROM sellers")) == 1


async def test_an_account_has_one_seller_even_when_it_asks_ten_times_at_once(tx: Transactor) -> None:
    owner = await _account(tx)
    outcomes = await asyncio.gather(
        *(asyncio.create_task(_create(tx, owner)) for _ in range(10)), return_exceptions=True
    )
    (made,) = (outcome for outcome in outcomes if isinstance(outcome, seller_pb2.Seller))
    refusals = [outcome for outcome in outcomes if isinstance(outcome, AlreadyExists)]
    assert {refusal.message for refusal in refusals} == {f"You have a shop already: {made.handle}."}
    assert (len(refusals), refusals[0].metadata["field"]) == (9, "owner_user_id")
    assert len(await _rows(tx, "SELECT 1 FROM sellers")) == 1


async def test_a_chosen_handle_is_refused_when_taken_and_a_made_one_steps_aside(tx: Transactor) -> None:
    await _create(tx, await _account(tx), handle="kase-mehr")
    with pytest.raises(AlreadyExists) as refused:
        await _create(tx, await _account(tx), handle="kase-mehr")
    assert refused.value.metadata["field"] == "handle"
    assert (await _create(tx, await _account(tx))).handle.startswith("kase-mehr-")


@pytest.mark.parametrize(
    ("shop_name", "handle"),
    [("—", "shop"), ("日本", "riben"), ("A", "a-shop"), ("--Ab c--", "ab-c"), ("x" * 120, "x" * 60)],
)
async def test_any_shop_name_makes_a_lawful_handle(tx: Transactor, shop_name: str, handle: str) -> None:
    assert (await _create(tx, await _account(tx), shop_name=shop_name)).handle == handle


@pytest.mark.parametrize(
    "time_zone",
    ["Mars/Olympus", "europe/berlin", "../../etc/passwd", "Europe", "localtime", "Factory", "posix/Europe/Berlin"],
)
async def test_an_unknown_time_zone_is_refused(tx: Transactor, time_zone: str) -> None:
    with pytest.raises(TimeZoneUnknown):
        await _create(tx, await _account(tx), time_zone=time_zone)


async def test_a_seller_shows_to_all_once_approved_but_its_door_only_to_its_own(tx: Transactor) -> None:
    owner, other = await _account(tx), await _account(tx)
    seller = await _create(tx, owner)
    for stranger in (ANONYMOUS, other):
        for lookup in ({"seller_id": seller.seller_id}, {"handle": seller.handle}):
            with pytest.raises(NotFound):
                await _get(tx, stranger, **lookup)
    await _approve(tx, seller.seller_id, "internal remark")
    for stranger in (ANONYMOUS, other):
        seen = await _get(tx, stranger, handle=seller.handle)
        assert seen.shop_name == "Käse & Mehr"
        assert not seen.HasField("pickup_address")
        assert not seen.HasField("contact")
        assert seen.owner_user_id == seen.state_reason == ""
    for allowed in (owner, ADMIN):
        seen = await _get(tx, allowed, seller_id=seller.seller_id)
        assert seen.pickup_address.city == "Berlin"
        assert seen.state_reason == "internal remark"


async def test_an_account_is_held_by_its_shop_and_by_no_other(tx: Transactor) -> None:
    owner, other = await _account(tx), await _account(tx)
    seller = await _create(tx, owner)
    held = await tx.run("test.held", lambda uow: service.holds_account(uow, owner.known_user_id))
    assert held == f"seller {seller.seller_id}"
    assert await tx.run("test.free", lambda uow: service.holds_account(uow, other.known_user_id)) is None
    await tx.run("test.close", lambda uow: uow.connection.execute("UPDATE sellers SET state = 'CLOSED'"))
    assert await tx.run("test.free", lambda uow: service.holds_account(uow, owner.known_user_id)) is None


async def test_other_slices_read_a_seller_by_id_and_by_account(tx: Transactor) -> None:
    owner = await _account(tx)
    seller_id = UUID((await _create(tx, owner)).seller_id)
    seller = await tx.read(lambda unit: service.read_seller(unit, seller_id))
    assert seller is not None
    assert seller == await tx.read(lambda unit: service.seller_of(unit, owner.known_user_id))
    assert (seller.state, seller.sells) == (SellerState.PENDING, False)
    assert seller.pickup_address is not None
    assert seller.pickup_address.point == Point(52.5, 13.4)
    await _approve(tx, str(seller_id))
    approved = await tx.run("test.approved", lambda uow: service.seller_of(uow, owner.known_user_id))
    assert approved is not None
    assert approved.sells
    assert await tx.read(lambda unit: service.seller_of(unit, new_id())) is None


async def test_a_shop_on_the_command_line_is_its_handle_or_its_id(
    tx: Transactor,
) -> None:
    shop, _ = await stock_seller(tx)
    handle = f"shop-{shop.hex[-12:]}"
    assert await seller_id_of(tx, handle) == await seller_id_of(tx, str(shop)) == shop
    for nobody in ("nobody-here", "Käse & Mehr", str(uuid4())):
        with pytest.raises(NoSuchShop, match="ListSellers lists the handles"):
            await seller_id_of(tx, nobody)
