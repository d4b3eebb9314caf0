"""Closed sets of the contract beside ours: both ways, "unspecified", and a value that one side lacks."""

from __future__ import annotations

from enum import StrEnum

import pytest
from marketd.kernel.enums import EnumMap
from marketplace.delivery.v1 import delivery_pb2


class Stop(StrEnum):
    PICKUP = "PICKUP"
    DROPOFF = "DROPOFF"


class OneStop(StrEnum):
    PICKUP = "PICKUP"


def test_values_come_back_as_they_went_and_unspecified_is_none() -> None:
    stops = EnumMap(Stop, delivery_pb2.StopKind)
    for stop in Stop:
        assert stops.from_wire(stops.to_wire(stop)) is stop
        assert stops.optional_to_wire(stop) == stops.to_wire(stop)
    assert stops.optional_to_wire(None) == delivery_pb2.STOP_KIND_UNSPECIFIED
    assert stops.optional_from_wire(delivery_pb2.STOP_KIND_UNSPECIFIED) is None
    with pytest.raises(KeyError):
        stops.from_wire(delivery_pb2.STOP_KIND_UNSPECIFIED)


def test_a_value_that_one_side_lacks_stops_the_process_from_starting() -> None:
    with pytest.raises(TypeError, match="DROPOFF"):
        EnumMap(OneStop, delivery_pb2.StopKind)
    EnumMap(OneStop, delivery_pb2.StopKind, only_theirs=["DROPOFF"])
