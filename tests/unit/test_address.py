"""Addresses: the same after a trip through JSON or the wire."""

from __future__ import annotations

import json

import pytest
from marketd.kernel.events.events import to_json
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.wire import from_address, to_address

FULL = Address(
    recipient="Jo Döe",
    phone="+491701234567",
    lines=("Hauptstr. 1", "Hinterhaus"),
    city="Berlin",
    region="BE",
    postal_code="10115",
    region_code="DE",
    point=Point(52.53, 13.38),
    entrance="B",
    floor="3",
    notes="Bell is broken",
)
BARE = Address("", "", ("Hauptstr. 1",), "Berlin", "", "", "")


@pytest.mark.parametrize("address", [FULL, BARE])
def test_an_address_survives_json_events_and_the_wire(address: Address) -> None:
    assert Address.from_json(address.to_json()) == address
    assert Address.from_json(address.to_json_text()) == address
    assert Address.from_json(json.loads(to_json(address))) == address
    assert from_address(to_address(address)) == address


def test_fields_that_an_older_row_lacks_are_empty() -> None:
    assert Address.from_json('{"lines": ["Hauptstr. 1"], "city": "Berlin"}') == BARE


def test_what_is_no_object_is_no_address() -> None:
    with pytest.raises(ValueError, match="JSON object"):
        Address.from_json("[]")
