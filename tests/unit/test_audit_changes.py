"""What the audit log keeps of a change: what differs, as text, in bounds, and never what is secret or a place."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import marketd
import pytest
from marketd.audit.changes import MAX_CHANGES, MAX_TEXT, UNSAID, AuditChange, changes_between, is_said, looks_secret
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point

ITEM, OTHER_ITEM = UUID(int=1), UUID(int=2)


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


@dataclass(frozen=True, slots=True)
class Line:
    line_id: UUID
    pieces: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Span:
    day: int
    hours: int
    price_minor: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    name: str = "Lamp"
    colour: Colour = Colour.RED
    total_minor: int = 1250
    fee_minor: int | None = None
    currency: str = "EUR"
    active: bool = False
    address: Address | None = None
    ready_time: datetime | None = None
    prep_duration: timedelta = timedelta(minutes=5)
    words: tuple[str, ...] = ()
    roles: frozenset[Colour] = frozenset()
    spans: tuple[Span, ...] = ()
    lines: tuple[Line, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    point: Point | None = None
    latitude: float = 1.0
    name_key: str = "lamp"
    door_code: str = "1111"
    spell: str = field(default="one", repr=False)
    whispered: str = field(default="one", metadata=UNSAID)
    seal: bytes = b"1"
    version: int = 1
    update_time: datetime = datetime(2030, 1, 1, tzinfo=UTC)


DOOR = Address("Ann", "+391", ("Via Roma 1",), "Turin", "", "10100", "IT", point=Point(1.0, 2.0))


def _changes(before: Thing | None, after: Thing | None) -> dict[str, tuple[str | None, str | None]]:
    return {each.field: (each.before, each.after) for each in changes_between(before, after)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"name": "Lantern"}, {"name": ("Lamp", "Lantern")}),
        ({"name": ""}, {"name": ("Lamp", None)}),
        ({"colour": Colour.BLUE, "active": True}, {"colour": ("RED", "BLUE"), "active": ("false", "true")}),
        ({"total_minor": 99}, {"total": ("12.50 EUR", "0.99 EUR")}),
        ({"fee_minor": 5}, {"fee": (None, "0.05 EUR")}),
        ({"ready_time": datetime(2030, 1, 1, 9, tzinfo=UTC)}, {"ready_time": (None, "2030-01-01T09:00:00Z")}),
        ({"prep_duration": timedelta(minutes=10)}, {"prep_duration": ("300 s", "600 s")}),
        ({"words": ("b", "a")}, {"words": (None, "b, a")}),
        ({"roles": frozenset(Colour)}, {"roles": (None, "BLUE, RED")}),
        ({"spans": (Span(1, 9), Span(2, 10))}, {"spans": (None, "1 9, 2 10")}),
        ({"spans": (Span(1, 9, 250),)}, {"spans": (None, "1 9 2.50 EUR")}),
        ({"options": {"Size": "L"}}, {"options[Size]": (None, "L")}),
    ],
)
def test_a_change_is_told_by_its_field_as_people_read_it(
    values: dict[str, Any], expected: dict[str, tuple[str | None, str | None]]
) -> None:
    before = Thing()
    assert _changes(before, replace(before, **values)) == expected


def test_what_stands_below_is_told_by_its_path_and_lines_by_their_ids() -> None:
    before = Thing(address=DOOR, lines=(Line(ITEM, 2, 500), Line(OTHER_ITEM, 1, 100)))
    after = replace(before, address=replace(DOOR, city="Milan"), lines=(Line(OTHER_ITEM, 1, 200), Line(ITEM, 1, 500)))
    assert _changes(before, after) == {
        "address.city": ("Turin", "Milan"),
        f"lines[{ITEM}].pieces": ("2", "1"),
        f"lines[{OTHER_ITEM}].unit_price": ("1.00 EUR", "2.00 EUR"),
    }
    assert _changes(replace(before, address=None), before)["address.lines"] == (None, "Via Roma 1")


def test_what_was_made_or_is_gone_has_one_side() -> None:
    thing = Thing(address=DOOR)
    made, gone = _changes(None, thing), _changes(thing, None)
    assert made["name"] == (None, "Lamp")
    assert {name: (after, before) for name, (before, after) in made.items()} == gone
    assert "ready_time" not in made
    assert changes_between(None, None) == ()


def test_secrets_places_and_counters_are_never_told() -> None:
    before = Thing(address=DOOR, point=Point(1.0, 1.0))
    after = replace(
        before,
        point=Point(7.0, 7.0),
        latitude=7.0,
        address=replace(DOOR, point=Point(7.0, 7.0)),
        name_key="7",
        door_code="7",
        spell="7",
        whispered="7",
        seal=b"7",
        version=7,
        update_time=datetime(2037, 7, 7, tzinfo=UTC),
    )
    assert changes_between(before, after) == ()
    told = str(changes_between(None, Thing(lines=(Line(ITEM, 1, 1),), spell="7777", door_code="7777", seal=b"7777")))
    assert "7777" not in told


def test_texts_and_lists_have_bounds_and_say_where_they_were_cut() -> None:
    (change,) = changes_between(Thing(), Thing(name="x" * 5_000))
    assert change.before == "Lamp"
    assert change.after == "x" * (MAX_TEXT - 1) + "…"
    many = changes_between(Thing(), Thing(options={str(number): "x" for number in range(80)}))
    assert len(many) == MAX_CHANGES
    assert many[-2:] == (AuditChange("options[48]", None, "x"), AuditChange("…", None, "31 more"))


def test_two_kinds_of_things_are_not_compared() -> None:
    with pytest.raises(TypeError, match="Thing and Span"):
        changes_between(Thing(), Span(1, 2))
    with pytest.raises(TypeError):
        changes_between(None, "a text")


def test_every_value_of_every_slice_marks_what_looks_secret() -> None:
    """A mark on the field itself, so that whoever reads the class sees it; the name alone is the second guard."""
    kinds = [*_values()]
    assert len(kinds) > 60
    unmarked = {
        f"{kind.__module__}.{kind.__qualname__}.{each.name}"
        for kind in kinds
        for each in fields(kind)
        if looks_secret(each.name) and each.repr and each.metadata.get("audit", True)
    }
    assert not unmarked
    assert not any(is_said(each) for kind in kinds for each in fields(kind) if looks_secret(each.name))


def _values() -> set[type[Any]]:
    """The dataclasses of every `values.py`: what use cases hand around, and so what they can give to the log."""
    found: set[type[Any]] = set()
    for module in pkgutil.walk_packages(marketd.__path__, "marketd."):
        # The log's own values are no things that it tells of; their `code` is a status.
        if module.name.rpartition(".")[2] == "values" and not module.name.startswith("marketd.audit."):
            members = vars(importlib.import_module(module.name)).values()
            own = (each for each in members if isinstance(each, type) and is_dataclass(each))
            found |= {each for each in own if not each.__module__.startswith("marketd.audit.")}
    return found
