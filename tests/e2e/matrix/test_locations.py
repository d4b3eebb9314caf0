"""Coordinates that are none: positions are judged one by one, and everywhere else the request is refused."""

from __future__ import annotations

import math

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # the wheel carries no types
from google.type import latlng_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.tracking.v1 import position_pb2, tracking_service_pb2

from tests.e2e.matrix.recipes_orders import positions
from tests.worlds.matrix import Market
from tests.worlds.observed import written
from tests.worlds.things import Rider, address, new_key, new_shop
from tests.worlds.wire import Outcome, check_refusal

pytestmark = pytest.mark.asyncio(loop_scope="session")

REPORT = "/marketplace.tracking.v1.TrackingService/ReportLocations"
STREAM = "/marketplace.tracking.v1.TrackingService/StreamLocations"
WATCH = "/marketplace.tracking.v1.TrackingService/WatchDelivery"
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
NAN, INFINITY = math.nan, math.inf
Up = tracking_service_pb2.StreamLocationsRequest


def bad_positions() -> tuple[position_pb2.PositionBatch, dict[int, str]]:
    """A batch whose odd numbers are good, and why each of the even ones must be rejected."""
    now = Timestamp()
    now.GetCurrentTime()
    wrong: list[tuple[str, dict[str, object]]] = [
        ("NOT_FINITE", {"point": latlng_pb2.LatLng(latitude=NAN, longitude=13.4)}),
        ("NOT_FINITE", {"point": latlng_pb2.LatLng(latitude=52.5, longitude=NAN)}),
        ("NOT_FINITE", {"point": latlng_pb2.LatLng(latitude=INFINITY, longitude=13.4)}),
        ("NOT_FINITE", {"point": latlng_pb2.LatLng(latitude=52.5, longitude=-INFINITY)}),
        ("NOT_FINITE", {"accuracy_meters": NAN}),
        ("NOT_FINITE", {"speed_mps": INFINITY}),
        ("NOT_FINITE", {"heading_degrees": NAN}),
        ("OUT_OF_RANGE", {"point": latlng_pb2.LatLng(latitude=90.001, longitude=13.4)}),
        ("OUT_OF_RANGE", {"point": latlng_pb2.LatLng(latitude=-90.001, longitude=13.4)}),
        ("OUT_OF_RANGE", {"point": latlng_pb2.LatLng(latitude=52.5, longitude=180.001)}),
        ("OUT_OF_RANGE", {"point": latlng_pb2.LatLng(latitude=1e308, longitude=1e308)}),
        ("OUT_OF_RANGE", {"accuracy_meters": 1e8}),
        ("OUT_OF_RANGE", {"speed_mps": 1e5}),
        ("OUT_OF_RANGE", {"heading_degrees": 361.0}),
        ("OUT_OF_RANGE", {"battery_percent": 101}),
        ("TIME_AHEAD", {"sample_time": Timestamp(seconds=now.seconds + 90)}),
        ("TIME_AHEAD", {"sample_time": Timestamp(seconds=2**63 - 1)}),
        ("TIME_TOO_OLD", {"sample_time": Timestamp(seconds=now.seconds - 24 * 3600 - 5)}),
        ("TIME_TOO_OLD", {"sample_time": Timestamp(seconds=-(2**63))}),
        ("OUT_OF_RANGE", {"sample_time": Timestamp(seconds=now.seconds, nanos=-1)}),
        ("OUT_OF_RANGE", {"sample_time": Timestamp(seconds=now.seconds, nanos=1_000_000_000)}),
        ("FIELD_MISSING", {"point": None}),
        ("FIELD_MISSING", {"sample_time": None}),
    ]
    batch, reasons = position_pb2.PositionBatch(), {}
    for index, (reason, fields) in enumerate(wrong):
        good, bad = positions(2 * index + 1, 2).positions
        for name, value in fields.items():
            bad.ClearField(name)  # type: ignore[arg-type]
            if isinstance(value, (Timestamp, latlng_pb2.LatLng)):
                getattr(bad, name).CopyFrom(value)
            elif value is not None:
                setattr(bad, name, value)
        batch.positions.extend([good, bad])
        reasons[bad.seq] = reason
    return batch, reasons


def _reasons(ack: position_pb2.Ack) -> dict[int, str]:
    name = position_pb2.RejectionReason.Name
    return {one.seq: name(one.reason).removeprefix("REJECTION_REASON_") for one in ack.rejected}


async def _stored(market: Market, rider: Rider, uplink_id: str) -> list[int]:
    stored = await market.value(
        "SELECT array_agg(seq ORDER BY seq) FROM position_points WHERE courier_id = $1 AND uplink_id = $2",
        rider.courier_id,
        uplink_id,
    )
    return list(stored or ())


async def test_reported_positions_are_judged_one_by_one_and_the_good_ones_kept(market: Market) -> None:
    rider, uplink_id = await market.ride(), new_key()
    batch, reasons = bad_positions()
    request = tracking_service_pb2.ReportLocationsRequest(uplink_id=uplink_id, batch=batch)
    for _ in range(2):  # the second time all of it is known, and told again
        ack = (await market.call(request, rider.person)).ack
        assert _reasons(ack) == reasons
        assert ack.acked_seq == len(batch.positions)
        assert await _stored(market, rider, uplink_id) == [one.seq for one in batch.positions if one.seq not in reasons]


async def test_streamed_positions_are_judged_one_by_one_and_the_good_ones_kept(market: Market) -> None:
    rider, uplink_id = await market.ride(), new_key()
    batch, reasons = bad_positions()
    hello = Up(hello=tracking_service_pb2.Hello(uplink_id=uplink_id))
    outcome = await market.send(STREAM, hello, Up(batch=batch), by=rider.person)
    assert outcome.code is grpc.StatusCode.OK, outcome
    answers = [tracking_service_pb2.StreamLocationsResponse.FromString(raw) for raw in outcome.answers]
    acks = [answer.ack for answer in answers if answer.HasField("ack")]
    told: dict[int, str] = {}
    for ack in acks:
        told |= _reasons(ack)
    assert told == reasons
    assert acks[-1].acked_seq == len(batch.positions)
    assert await _stored(market, rider, uplink_id) == [one.seq for one in batch.positions if one.seq not in reasons]


async def test_a_position_without_a_number_is_rejected_and_holds_nothing_back(market: Market) -> None:
    rider, uplink_id = await market.ride(), new_key()
    batch = positions(1, 3)
    batch.positions[1].seq = 0
    batch.positions.add().CopyFrom(batch.positions[0])
    batch.positions[3].seq = -(2**63)
    request = tracking_service_pb2.ReportLocationsRequest(uplink_id=uplink_id, batch=batch)
    ack = (await market.call(request, rider.person)).ack
    assert _reasons(ack) == {0: "SEQ_INVALID", -(2**63): "SEQ_INVALID"}
    assert await _stored(market, rider, uplink_id) == [1, 3]


async def test_a_live_marker_is_never_where_nothing_is(market: Market) -> None:
    trip = await market.picked_up()
    assert trip.rider is not None
    batch, _ = bad_positions()
    request = tracking_service_pb2.ReportLocationsRequest(uplink_id=new_key(), batch=batch)
    await market.call(request, trip.rider.person)
    watched = tracking_service_pb2.WatchDeliveryRequest(delivery_id=trip.delivery_id)
    outcome = await market.send(WATCH, watched, by=trip.buyer, take=1)
    snapshot = tracking_service_pb2.WatchDeliveryResponse.FromString(outcome.answers[0]).snapshot
    point = snapshot.position.point
    assert (round(point.latitude, 2), round(point.longitude, 2)) == (52.53, 13.40)


def _streams() -> dict[str, tuple[list[Up | bytes], str]]:
    hello = Up(hello=tracking_service_pb2.Hello(uplink_id=new_key()))
    ping = Up(ping=tracking_service_pb2.Ping())
    return {
        "a batch before hello": ([Up(batch=positions())], "MALFORMED_REQUEST"),
        "a ping before hello": ([ping], "MALFORMED_REQUEST"),
        "a second hello": ([hello, hello], "MALFORMED_REQUEST"),
        "noise after hello": ([hello, b"\xff\xff\xff"], "MALFORMED_REQUEST"),
        "nothing after hello": ([hello, Up()], "VALIDATION_FAILED"),
        "an uplink that is no id": ([Up(hello=tracking_service_pb2.Hello(uplink_id="me"))], "VALIDATION_FAILED"),
        "more than a batch holds": ([hello, Up(batch=positions(1, 201))], "VALIDATION_FAILED"),
    }


@pytest.mark.parametrize("name", _streams())
async def test_an_uplink_that_is_out_of_order_ends_with_its_reason(market: Market, name: str) -> None:
    rider = await market.ride()
    messages, reason = _streams()[name]
    outcome = await market.send(STREAM, *messages, by=rider.person)
    assert (outcome.code, outcome.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason), outcome
    check_refusal(outcome)


async def test_nobody_off_shift_reports_anything(market: Market) -> None:
    rider = await market.ride(on_shift=False)
    hello = Up(hello=tracking_service_pb2.Hello(uplink_id=new_key()))
    report = tracking_service_pb2.ReportLocationsRequest(uplink_id=new_key(), batch=positions())
    before = await market.contents()
    for outcome in (
        await market.send(REPORT, report, by=rider.person),
        await market.send(STREAM, hello, Up(batch=positions()), by=rider.person),
    ):
        assert (outcome.code, outcome.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "COURIER_OFF_SHIFT")
        check_refusal(outcome)
    assert written(before, await market.contents()) == {}


def _fields(outcome: Outcome) -> list[str]:
    return [one.field for bad in outcome.all_of(error_details_pb2.BadRequest) for one in bad.field_violations]


NOWHERE = [(NAN, 13.4), (52.5, NAN), (INFINITY, 13.4), (52.5, -INFINITY), (90.5, 13.4), (52.5, 180.5), (1e308, 0.0)]


@pytest.mark.parametrize(("latitude", "longitude"), NOWHERE)
async def test_an_address_that_is_nowhere_is_refused_by_its_field(
    market: Market, latitude: float, longitude: float
) -> None:
    point = latlng_pb2.LatLng(latitude=latitude, longitude=longitude)
    shop, home = new_shop(), address("Ada")
    shop.seller.pickup_address.point.CopyFrom(point)
    home.point.CopyFrom(point)
    before = await market.contents(without=frozenset({"audit_entries"}))
    opened = await market.ask(shop, market.buyer)
    quoted = await market.ask(cart_service_pb2.QuoteOrderRequest(address=home), market.buyer)
    for outcome, field in ((opened, "seller.pickup_address.point"), (quoted, "address.point")):
        assert (outcome.code, outcome.reason) == INVALID, outcome
        assert _fields(outcome) == [field]
        check_refusal(outcome)
    assert written(before, await market.contents(without=frozenset({"audit_entries"}))) == {}


@pytest.mark.parametrize("rate", [NAN, INFINITY, -INFINITY, -1.0, 20.5])
async def test_a_rate_that_is_none_is_refused_by_its_field(market: Market, rate: float) -> None:
    request = tracking_service_pb2.WatchDeliveryRequest(delivery_id=market.trip.delivery_id, max_rate_hz=rate)
    outcome = await market.send(WATCH, request, by=market.trip.buyer, take=1)
    assert (outcome.code, outcome.reason) == INVALID, outcome
    assert set(_fields(outcome)) == {"max_rate_hz"}
