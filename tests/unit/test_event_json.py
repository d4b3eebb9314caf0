"""What events, jobs and payloads are as JSON: what is stored today is read by the workers of tomorrow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar
from uuid import UUID

import asyncpg.pgproto.pgproto as driver
import pytest
from marketd.kernel.events.events import Event, StoredEvent, read_event, to_json
from marketd.kernel.values.ids import new_id


class _Colour(StrEnum):
    RED = "RED"


@dataclass(frozen=True, slots=True)
class _Part:
    part_id: UUID
    count: int


@dataclass(frozen=True, kw_only=True)
class _Happened(Event):
    event_type: ClassVar[str] = "test.happened"
    aggregate: ClassVar[str] = "test"

    test_id: UUID
    text: str
    colour: _Colour
    time: datetime
    span: timedelta
    nothing: str | None
    is_so: bool
    parts: tuple[_Part, ...]

    @property
    def aggregate_id(self) -> UUID:
        return self.test_id


class _Later(_Happened):
    """Of a later version, without fields of its own."""

    version: ClassVar[int] = 2


_ID = UUID("0192d3e4-5678-7abc-8def-0123456789ab")
_TIME = datetime(2026, 3, 1, 12, 30, 0, 1500, tzinfo=UTC)
_STORED = {
    "test_id": str(_ID),
    "text": 'naïve \u2028 "quoted"',
    "colour": "RED",
    "time": "2026-03-01T12:30:00.001500+00:00",
    "span": 90.5,
    "nothing": None,
    "is_so": True,
    "parts": [{"part_id": str(_ID), "count": 3}],
}


@pytest.mark.parametrize("kind", [_Happened, _Later])
def test_an_event_is_an_object_of_its_fields_and_is_read_back(kind: type[_Happened]) -> None:
    event = kind(
        test_id=_ID,
        text='naïve \u2028 "quoted"',
        colour=_Colour.RED,
        time=_TIME,
        span=timedelta(seconds=90.5),
        nothing=None,
        is_so=True,
        parts=(_Part(_ID, 3),),
    )
    payload = json.loads(to_json(event))
    assert payload == _STORED
    assert list(payload) == list(_STORED)
    stored = StoredEvent(
        event_id=new_id(),
        aggregate="test",
        aggregate_id=_ID,
        seq=1,
        event_type="test.happened",
        version=kind.version,
        payload=payload,
        occurred_time=_TIME,
    )
    again = read_event(kind, stored)
    assert (again.test_id, again.time, again.span, again.text) == (_ID, _TIME, event.span, event.text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (driver.UUID(str(_ID)), f'"{_ID}"'),
        (Decimal("12.50"), '"12.50"'),
        (timedelta(minutes=1), "60.0"),
        (datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2))), '"2026-03-01T12:00:00+02:00"'),
        (frozenset({7}), "[7]"),
        (MappingProxyType({"a": _Part(_ID, 1)}), f'{{"a":{{"part_id":"{_ID}","count":1}}}}'),
        ({"nested": [{"colour": _Colour.RED}, (1, 2)]}, '{"nested":[{"colour":"RED"},[1,2]]}'),
        (2**53 + 1, "9007199254740993"),
        ("ünïcode", '"ünïcode"'),
    ],
)
def test_a_value_has_one_form(value: object, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize("value", [object(), b"bytes", {1: "a number for a key"}, _Part])
def test_what_has_no_form_is_a_mistake_that_is_said(value: object | Mapping[int, str]) -> None:
    with pytest.raises(TypeError):
        to_json(value)
