"""The town of the demo data: three shops and a few homes, and ways between points along its streets."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from google.type import latlng_pb2
from marketplace.type.v1 import address_pb2

_METERS_A_DEGREE = 111_320.0
_NOISE_METERS = 2.5
_TOWN = "Demo Town"


@dataclass(frozen=True)
class Place:
    """A door in the town."""

    name: str
    line: str
    latitude: float
    longitude: float

    def address(self) -> address_pb2.Address:
        """The place as an address with a point."""
        return address_pb2.Address(
            recipient=self.name,
            phone="+4930901820",
            lines=[self.line],
            city=_TOWN,
            postal_code="10999",
            region_code="DE",
            point=latlng_pb2.LatLng(latitude=self.latitude, longitude=self.longitude),
        )


SHOP_DOORS = (
    ("Market Square 1", 52.49905, 13.42120),
    ("Canal Walk 7", 52.49610, 13.42480),
    ("Station Road 22", 52.50240, 13.41750),
)

HOMES = (
    Place("Bo Buyer", "Garden Street 12", 52.50350, 13.42600),
    Place("Bea Buyer", "Mill Lane 3", 52.49480, 13.41790),
    Place("Ben Buyer", "Poplar Row 48", 52.50020, 13.43020),
)

VISITORS_HOME = Place("Val Visitor", "Orchard Lane 5", 52.50020, 13.42350)
"""Between the shops, so that nobody waits for long."""


@dataclass(frozen=True)
class Fix:
    """Where a ride is after one more second."""

    latitude: float
    longitude: float
    speed_mps: float
    heading_degrees: float
    accuracy_meters: float


def meters_between(from_: tuple[float, float], to: tuple[float, float]) -> tuple[float, float]:
    """How far east and north one point is of another; good enough within a town."""
    north = (to[0] - from_[0]) * _METERS_A_DEGREE
    east = (to[1] - from_[1]) * _METERS_A_DEGREE * math.cos(math.radians(from_[0]))
    return east, north


def ride(
    start: tuple[float, float], end: tuple[float, float], chance: random.Random, speed_mps: float
) -> Iterator[Fix]:
    """A bicycle's way, one fix a second: along one street, round a corner, along the next, and a stop at the door."""
    corner = (start[0], end[1]) if chance.random() < 0.5 else (end[0], start[1])
    for from_, to in ((start, corner), (corner, end)):
        east, north = meters_between(from_, to)
        distance = math.hypot(east, north)
        heading = math.degrees(math.atan2(east, north)) % 360
        gone = 0.0
        while gone < distance:
            share = gone / distance
            speed = speed_mps * chance.uniform(0.8, 1.15)
            yield _fix(_between(from_, to, share), speed, heading, chance)
            gone += speed
    for _ in range(12):  # long enough at the door to count as arrived
        yield _fix(end, 0.2, 0.0, chance)


def _between(from_: tuple[float, float], to: tuple[float, float], share: float) -> tuple[float, float]:
    return from_[0] + (to[0] - from_[0]) * share, from_[1] + (to[1] - from_[1]) * share


def _fix(point: tuple[float, float], speed: float, heading: float, chance: random.Random) -> Fix:
    degrees = _NOISE_METERS / _METERS_A_DEGREE
    return Fix(
        latitude=point[0] + chance.gauss(0, degrees),
        longitude=point[1] + chance.gauss(0, degrees),
        speed_mps=round(speed, 1),
        heading_degrees=round(heading, 1),
        accuracy_meters=round(chance.uniform(4, 9), 1),
    )
