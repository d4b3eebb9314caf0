"""A postal address that a courier can find, as sellers, orders and deliveries keep it: a value with a JSON form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from marketd.kernel.events.events import Json
from marketd.kernel.values.geo import Point


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody lives or keeps shop; the fields are those of marketplace.type.v1.Address.

    Empty texts mean "not given". `lines` are printed lines, first first; `phone` is E.164; `region_code` is ISO 3166-1
    alpha-2; `point` is the door on the map, None when nobody placed it.
    """

    recipient: str
    phone: str
    lines: tuple[str, ...]
    city: str
    region: str
    postal_code: str
    region_code: str
    point: Point | None = None
    entrance: str = ""
    floor: str = ""
    notes: str = ""

    def part(self, *names: str) -> Address:
        """Only these fields of it; the others are as if they were not given."""
        kept = {name: getattr(self, name) for name in names}
        return replace(_NOWHERE, **kept)

    def to_json(self) -> dict[str, Json]:
        """The JSON object, for mapped JSONB columns and event payloads."""
        return {
            "recipient": self.recipient,
            "phone": self.phone,
            "lines": list(self.lines),
            "city": self.city,
            "region": self.region,
            "postal_code": self.postal_code,
            "region_code": self.region_code,
            "point": None
            if self.point is None
            else {"latitude": self.point.latitude, "longitude": self.point.longitude},
            "entrance": self.entrance,
            "floor": self.floor,
            "notes": self.notes,
        }

    def to_json_text(self) -> str:
        """The same as text, for a jsonb parameter of a hand-written statement."""
        return orjson.dumps(self.to_json()).decode()

    @classmethod
    def from_json(cls, value: object) -> Address:
        """The address of what `to_json` made: an object, or its text. Missing fields are empty.

        Raises ValueError for anything else, which only a damaged row can be.
        """
        found = orjson.loads(value) if isinstance(value, str | bytes) else value
        if not isinstance(found, Mapping):
            raise ValueError("an address is a JSON object")
        point = found.get("point")
        return cls(
            recipient=str(found.get("recipient") or ""),
            phone=str(found.get("phone") or ""),
            lines=tuple(str(line) for line in found.get("lines") or ()),
            city=str(found.get("city") or ""),
            region=str(found.get("region") or ""),
            postal_code=str(found.get("postal_code") or ""),
            region_code=str(found.get("region_code") or ""),
            point=None if point is None else Point(float(point["latitude"]), float(point["longitude"])),
            entrance=str(found.get("entrance") or ""),
            floor=str(found.get("floor") or ""),
            notes=str(found.get("notes") or ""),
        )


_NOWHERE: Final = Address("", "", (), "", "", "", "")
