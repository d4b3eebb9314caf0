"""docs/viewers.md names every field of every message that anybody gets, once; events can hold nothing personal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
from marketd import app as composition
from marketd.kernel.events.events import Event
from marketd.order.events import OrderEvent
from marketd.order.values import CHANGEABLE, OrderProgress
from marketd.transport.access import AccessTable

from tests.viewers import is_own, leaves, read_page

PAGE = read_page()
# Words of a closed set, or of digits and letters that we draw: what an event may say beside ids, times and numbers.
WORDS = {
    *("state", "previous_state", "outcome", "reason", "actor", "currency", "order_number", "handle", "event_type"),
    *("stop", "removal_reason"),
}


def _reachable() -> dict[str, Any]:
    """Every message that an answer can carry, by its name; answers themselves only carry."""
    found: dict[str, Any] = {}

    def look(descriptor: Any) -> None:
        for each in descriptor.fields:
            below = each.message_type
            if is_own(below) and below.name not in found:
                found[below.name] = below
                look(below)

    for rule in AccessTable.from_names(composition.SERVICES):
        look(rule.response.DESCRIPTOR)
    return found


REACHABLE = _reachable()


def _parts(descriptor: Any) -> Iterator[str]:
    """The messages that a table takes in, because they have none of their own."""
    for each in descriptor.fields:
        below = each.message_type
        if is_own(below) and below.name not in PAGE.tables and below.name not in PAGE.alike:
            yield below.name
            yield from _parts(below)


def test_every_message_of_an_answer_is_on_the_page_and_in_one_place() -> None:
    assert not PAGE.alike & PAGE.tables.keys()
    assert (PAGE.alike | PAGE.tables.keys()) - REACHABLE.keys() == set()
    taken_in = {name for table in PAGE.tables for name in _parts(REACHABLE[table])}
    assert REACHABLE.keys() - PAGE.alike - PAGE.tables.keys() - taken_in == set()


@pytest.mark.parametrize("name", sorted(PAGE.tables))
def test_a_table_names_every_field_of_its_message(name: str) -> None:
    assert set(PAGE.tables[name].rows) == set(leaves(REACHABLE[name], PAGE))


def test_what_can_be_found_is_said_for_every_viewer_in_the_same_columns() -> None:
    columns = {tuple(row) for row in PAGE.found.values()}
    assert len(columns) == 1
    assert {"Order", "Payment", "Delivery", "Proof", "Live tracking", "User", "Seller"} == set(PAGE.found)


def _kinds(hint: Any) -> Iterator[Any]:
    """The plain types in a type."""
    if get_origin(hint) is None:
        yield hint
    for part in get_args(hint):
        yield from _kinds(part)


def _events() -> set[type[Event]]:
    found: set[type[Event]] = set()
    left: list[type[Event]] = [Event]
    while left:
        left += (below := left.pop().__subclasses__())
        found |= {each for each in below if each.__module__.startswith("marketd.")}
    return found


def test_no_event_has_room_for_anything_personal() -> None:
    events = _events()
    assert len(events) > 30
    loose: set[str] = set()
    for event in events:
        hints = get_type_hints(event)
        for each in fields(event):
            if issubclass(event, OrderEvent) and each.name == "after":
                continue  # the next test looks into it
            kinds = [kind for kind in _kinds(hints[each.name]) if kind not in (NoneType, Ellipsis, tuple)]
            if not all(_is_plain(kind) or (kind is str and each.name in WORDS) for kind in kinds):
                loose.add(f"{event.__name__}.{each.name}: {hints[each.name]}")
    assert loose == set()


def _is_plain(kind: Any) -> bool:
    plain = (UUID, datetime, timedelta, bool, int, float)
    return kind in plain or (isinstance(kind, type) and issubclass(kind, Enum))


def test_the_changeable_part_of_an_order_holds_nothing_personal() -> None:
    """It stands in the events as `after`, and the events' own types do not say what is in it."""
    hints = get_type_hints(OrderProgress)
    for name in CHANGEABLE:
        kinds = [kind for kind in _kinds(hints[name]) if kind is not NoneType]
        assert all(_is_plain(kind) for kind in kinds), name
