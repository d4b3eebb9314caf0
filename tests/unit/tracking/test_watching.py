"""Resume tokens, watchers' slots and queues, stops, rates: the small rules of watching."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marketd.delivery.estimate import Pace
from marketd.delivery.model import StopKind
from marketd.kernel.call.caller import ANONYMOUS
from marketd.kernel.events.watch import ResumePlace, ResumeTokens
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.tracking.errors import WatcherTooSlow
from marketd.tracking.trip.gate import Gate, StopEvent
from marketd.tracking.trip.trip import AtStop, Expected, Late, Leg, Promise, Trip
from marketd.tracking.uplink.convert import from_position
from marketd.tracking.uplink.sending_rate import SendingRate
from marketd.tracking.values import MICROS, Fix, instant
from marketd.tracking.watch import convert
from marketd.tracking.watch.fix_messages import pack_fixes, unpack_fixes
from marketd.tracking.watch.values import Audience
from marketd.tracking.watch.watcher import MAX_QUEUED, NO_POSITION, Watcher
from marketplace.tracking.v1 import position_pb2
from marketplace.tracking.v1.tracking_service_pb2 import WatchDeliveryResponse

NOW = 1_790_000_000 * MICROS
HERE = Point(52.5, 13.4)


def north(meters: float) -> Point:
    return Point(HERE.latitude + meters / 111_195, HERE.longitude)


def fix(second: float, meters: float, accuracy: float | None = 5.0) -> Fix:
    at = NOW + round(second * MICROS)
    return Fix(round(second) + 1, at, at, north(meters), accuracy, None, None)


# -- resume tokens


@given(st.uuids(), st.integers(0, 2**63 - 1), st.integers(-1, 2**60))
def test_a_token_comes_back_as_it_was_and_fits_into_a_message(delivery_id, seq, sample_micros) -> None:  # type: ignore[no-untyped-def]
    resume = ResumeTokens(b"secret", "test-watch", SystemClock())
    token = resume.issue(delivery_id.bytes, seq, sample_micros, NOW // MICROS)
    assert resume.read(token.decode(), delivery_id.bytes) == ResumePlace(seq, sample_micros, NOW // MICROS)
    assert len(token) < 128  # convert.token_part writes its length in one byte
    message = WatchDeliveryResponse.FromString(convert.token_part(token) + convert.heartbeat_body(NOW))
    assert message.resume_token == token.decode()
    assert message.heartbeat.server_time.seconds == NOW // MICROS


def test_a_token_is_unknown_for_another_delivery_another_secret_and_any_forgery() -> None:
    resume, delivery = ResumeTokens(b"secret", "test-watch", SystemClock()), uuid4().bytes
    token = resume.issue(delivery, 3, NO_POSITION, NOW // MICROS).decode()
    assert resume.read(token, uuid4().bytes) is None
    assert ResumeTokens(b"other", "test-watch", SystemClock()).read(token, delivery) is None
    for bad in ("", "x", "äöü", token[:-4], token[:-1] + ("A" if token[-1] != "A" else "B"), "!" * 48):
        assert resume.read(bad, delivery) is None


def test_a_token_is_too_old_after_a_day() -> None:
    place = ResumePlace(3, NO_POSITION, NOW // MICROS)
    assert not place.is_too_old(instant(NOW) + timedelta(hours=24))
    assert place.is_too_old(instant(NOW) + timedelta(hours=24, seconds=1))


# -- watchers


async def taken(watcher: Watcher, count: int) -> list[bytes]:
    async with asyncio.timeout(1):
        return [(await watcher.next())[0] for _ in range(count)]


async def test_the_newest_position_wins_and_never_overtakes_an_event() -> None:
    watcher = Watcher(ANONYMOUS, Audience.RECEIVING, max_rate_hz=0, after_micros=NO_POSITION)
    watcher.show(1, 10, b"old position")
    watcher.show(2, 11, b"position before")
    watcher.tell(3, b"event")
    assert await taken(watcher, 2) == [b"position before", b"event"]
    watcher.tell(4, b"event 2")
    watcher.show(5, 12, b"position after")
    watcher.tell(6, b"event 3")
    watcher.show(7, 13, b"newest")
    assert await taken(watcher, 3) == [b"event 2", b"event 3", b"newest"]


async def test_positions_that_are_not_newer_than_the_last_are_not_shown() -> None:
    watcher = Watcher(ANONYMOUS, Audience.RECEIVING, max_rate_hz=0, after_micros=100)
    watcher.show(1, 100, b"same")
    watcher.show(2, 99, b"older")
    watcher.beat(b"beat")
    assert await taken(watcher, 1) == [b"beat"]


async def test_a_watcher_with_a_rate_gets_the_newest_position_when_it_is_time() -> None:
    watcher = Watcher(ANONYMOUS, Audience.RECEIVING, max_rate_hz=20, after_micros=NO_POSITION)
    loop = asyncio.get_running_loop()
    watcher.show(1, 1, b"first")
    assert await taken(watcher, 1) == [b"first"]
    began = loop.time()
    watcher.show(2, 2, b"second")
    loop.call_later(0.01, watcher.show, 3, 3, b"third")
    assert await taken(watcher, 1) == [b"third"]
    assert loop.time() - began > 0.03


async def test_a_watcher_that_leaves_too_many_events_unread_is_ended() -> None:
    watcher = Watcher(ANONYMOUS, Audience.RECEIVING, max_rate_hz=0, after_micros=NO_POSITION)
    for number in range(MAX_QUEUED + 1):
        watcher.tell(number, b"event")
    with pytest.raises(WatcherTooSlow):
        await watcher.next()


# -- stops


def test_a_stop_is_reached_by_two_fixes_that_lie_ten_seconds_apart() -> None:
    gate = Gate(HERE)
    assert gate.pass_by(fix(0, 30)) is None
    assert gate.pass_by(fix(5, 20)) is None
    assert gate.pass_by(fix(10, 10)) == (StopEvent.ARRIVED, NOW)


def test_driving_by_is_no_arrival() -> None:
    gate = Gate(HERE)
    for second, meters in ((0, -50), (6, 40), (8, 80), (12, 50), (20, 300)):
        assert gate.pass_by(fix(second, meters)) is None


def test_an_inaccurate_fix_says_nothing_about_a_stop() -> None:
    gate = Gate(HERE)
    gate.pass_by(fix(0, 10))
    assert gate.pass_by(fix(11, 10, accuracy=80)) is None
    assert gate.pass_by(fix(12, 10)) == (StopEvent.ARRIVED, NOW)


def test_a_courier_on_the_edge_does_not_come_and_go() -> None:
    gate = Gate(HERE)
    for second in (0, 10):
        gate.pass_by(fix(second, 50))
    events = [gate.pass_by(fix(20 + second, 70 + 40 * (second % 2))) for second in range(60)]
    assert events == [None] * 60
    assert gate.pass_by(fix(100, 130)) is None
    assert gate.pass_by(fix(111, 150)) == (StopEvent.DEPARTED, NOW + 100 * MICROS)
    assert gate.pass_by(fix(130, 0)) is None


# -- trips


def leg(*, is_picked_up: bool) -> Leg:
    return Leg(uuid4(), uuid4(), uuid4(), is_picked_up, HERE, north(3_000))


def test_a_trip_tells_the_first_estimate_and_then_only_changes_that_matter() -> None:
    trip, pace = Trip(leg(is_picked_up=True), Promise()), Pace(10.0)
    first = trip.follow(fix(0, 0), NOW, pace)
    assert [type(found) for found in first] == [Expected]
    # On time: nothing to tell, however often it is looked at.
    assert trip.follow(fix(60, 60 * 10 / 1.3), NOW + 60 * MICROS, pace) == []
    # A detour of two minutes.
    assert [type(found) for found in trip.follow(fix(180, 60 * 10 / 1.3), NOW + 180 * MICROS, pace)] == [Expected]
    assert trip.follow(fix(181, -5_000), NOW + 181 * MICROS, pace) == []  # looked at every five seconds only


def test_a_pickup_is_followed_by_a_new_estimate_at_once() -> None:
    waiting = leg(is_picked_up=False)
    trip, pace = Trip(waiting, Promise()), Pace(10.0)
    assert [type(found) for found in trip.follow(fix(0, 0), NOW, pace)] == [Expected]
    assert trip.follow(fix(1, 0), NOW + MICROS, pace) == []
    trip.change(replace(waiting, is_picked_up=True))
    assert [type(found) for found in trip.follow(fix(2, 0), NOW + 2 * MICROS, pace)] == [Expected]


def test_a_trip_is_late_once_when_it_is_past_what_was_promised() -> None:
    promised = instant(NOW) + timedelta(seconds=100)
    trip, pace = Trip(leg(is_picked_up=True), Promise(due_time=promised)), Pace(10.0)
    found = trip.follow(fix(0, 0), NOW, pace)
    assert [type(item) for item in found] == [Expected, Late]
    assert isinstance(found[1], Late)
    assert found[1].due_time == promised
    assert [type(item) for item in trip.follow(fix(90, 400), NOW + 90 * MICROS, pace)] == [Expected]


def test_the_buyers_door_is_no_arrival_before_the_pickup() -> None:
    open_leg = leg(is_picked_up=False)
    trip, pace = Trip(open_leg, Promise()), Pace(10.0)
    for second in (0, 11):
        assert not [item for item in trip.follow(fix(second, 3_000), NOW, pace) if isinstance(item, AtStop)]
    trip.change(Leg(open_leg.delivery_id, open_leg.order_id, open_leg.courier_id, True, HERE, open_leg.dropoff_point))
    found = [item for second in (20, 31) for item in trip.follow(fix(second, 3_000), NOW, pace)]
    assert [(item.stop, item.event) for item in found if isinstance(item, AtStop)] == [
        (StopKind.DROPOFF, StopEvent.ARRIVED)
    ]


# -- rates


def test_a_courier_within_the_rate_hears_nothing_however_fast_a_backlog_is_sent() -> None:
    rate = SendingRate(5.0)
    assert not any(rate.count(1, NOW + second * MICROS, now=0.0) for second in range(2_000))


def test_a_courier_above_the_rate_is_told_and_reminded_and_told_when_it_is_good_again() -> None:
    rate = SendingRate(5.0)
    told = [step for step in range(200) if rate.count(1, NOW + step * MICROS // 50, now=step / 50)]
    assert len(told) == 1
    assert rate.is_throttled
    assert rate.min_interval_seconds == pytest.approx(0.2)
    later = NOW + 4 * MICROS
    assert rate.count(50, later, now=15.0)
    told = [rate.is_throttled for step in range(60) if rate.count(1, later + step * MICROS, now=15.0 + step)]
    assert told[-1] is False


# -- the wire


def test_fixes_reach_other_workers_as_they_were_in_messages_that_a_broadcast_takes() -> None:
    sender = b"worker01"
    fixes = [(uuid4(), fix(second, 5 * second)) for second in range(100)]
    fixes += [(uuid4(), Fix(1, NOW, NOW + 5, HERE, None, 2.5, 0.0))]
    messages = list(pack_fixes(sender, fixes))
    assert len(messages) > 1
    assert all(len(message) <= 5_000 and message.startswith(sender) for message in messages)
    assert [found for message in messages for found in unpack_fixes(message)] == fixes


def test_absent_numbers_are_told_apart_from_zeroes() -> None:
    empty = from_position(position_pb2.Position(seq=4))
    assert empty == (4, None, None, None, None, None, None, False, None)
    zeroes = position_pb2.Position(seq=4, accuracy_meters=0, speed_mps=0, heading_degrees=0, battery_percent=0)
    zeroes.point.SetInParent()
    zeroes.sample_time.SetInParent()
    assert from_position(zeroes) == (4, 0, 0.0, 0.0, 0.0, 0.0, 0.0, False, 0)
    full = position_pb2.Position(seq=1, speed_mps=3.5, mocked=True, battery_percent=50)
    full.point.longitude = 0.5
    full.sample_time.FromMicroseconds(NOW + 17)
    assert from_position(full) == (1, NOW + 17, 0.0, 0.5, None, 3.5, None, True, 50)
