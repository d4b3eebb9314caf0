"""Places on the earth and the distance between them."""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

EARTH_RADIUS_METERS = 6_371_008.8


@dataclass(frozen=True, slots=True)
class Point:
    """A place in WGS 84 degrees."""

    latitude: float
    longitude: float


def distance_meters(a: Point, b: Point) -> float:
    """The great-circle distance (haversine); good to 0.5 %, which no rule here depends on."""
    lat_a, lat_b = radians(a.latitude), radians(b.latitude)
    half_lat = sin((lat_b - lat_a) / 2)
    half_lon = sin(radians(b.longitude - a.longitude) / 2)
    return 2 * EARTH_RADIUS_METERS * asin(min(1.0, sqrt(half_lat**2 + cos(lat_a) * cos(lat_b) * half_lon**2)))
