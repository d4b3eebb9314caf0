"""The table of ends: each state of the contract that ends something has a row, and each row names a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto
from marketd import app

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/decisions/0019-what-ends-and-what-follows.md"
# In these something goes on: nobody who depends on it is left alone.
GOES_ON: Final = frozenset(
    {
        "USER_STATE_ACTIVE",
        "SELLER_STATE_PENDING",
        "SELLER_STATE_ACTIVE",
        "COURIER_STATE_PENDING",
        "COURIER_STATE_ACTIVE",
        "PRODUCT_STATE_DRAFT",
        "PRODUCT_STATE_PUBLISHED",
        "ORDER_STATE_PENDING_PAYMENT",
        "ORDER_STATE_PAID",
        "ORDER_STATE_ACCEPTED",
        "ORDER_STATE_READY",
        "ORDER_STATE_OUT_FOR_DELIVERY",
        "PAYMENT_STATE_PENDING",
        "PROMO_CODE_STATE_SCHEDULED",
        "PROMO_CODE_STATE_ACTIVE",
        "PAYMENT_STATE_ACTION_REQUIRED",
        "PAYMENT_STATE_CAPTURED",
        "PAYMENT_STATE_PARTIALLY_REFUNDED",
        "REFUND_STATE_PENDING",
        "REVIEW_STATE_PENDING",
        "REVIEW_STATE_PUBLISHED",
        "REMOTE_IMAGE_STATE_WAITING",
        "DELIVERY_STATE_CREATED",
        "DELIVERY_STATE_OFFERING",
        "DELIVERY_STATE_ASSIGNED",
        "DELIVERY_STATE_AT_PICKUP",
        "DELIVERY_STATE_PICKED_UP",
        "DELIVERY_STATE_AT_DROPOFF",
    }
)
# States of something that begins and ends with the call, or comes and goes by the minute.
NO_LIFE: Final = frozenset({"CartMergeOutcome", "StockState", "VariantOutcome"})


@dataclass(frozen=True)
class Row:
    """What ends, who depends on it, what happens to them, the way out, and the test."""

    ends: str
    dependant: str
    follows: str
    way_out: str
    test: str


@cache
def _rows() -> list[Row]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:]]


def _enums() -> Iterator[EnumDescriptorProto]:
    def inside(messages: Iterator[DescriptorProto]) -> Iterator[EnumDescriptorProto]:
        for message in messages:
            yield from message.enum_type
            yield from inside(iter(message.nested_type))

    for file in app.descriptor_set().file:
        if file.package.startswith("marketplace."):
            yield from file.enum_type
            yield from inside(iter(file.message_type))


def _states() -> set[str]:
    return {
        value.name
        for enum in _enums()
        if enum.name.endswith(("State", "Outcome")) and enum.name not in NO_LIFE
        for value in enum.value
        if value.number
    }


def test_each_state_goes_on_or_has_a_row() -> None:
    ended = "\n".join(row.ends for row in _rows())
    missing = {state for state in _states() - GOES_ON if f"`{state}`" not in ended}
    assert not missing, "a state in which something ends needs a row"
    assert _states() >= GOES_ON, "there is no such state any more"


def test_rows_name_states_that_there_are() -> None:
    named = {part for row in _rows() for part in row.ends.split("`")[1::2]}
    assert named <= _states()


def test_each_row_names_a_test_that_there_is() -> None:
    for row in _rows():
        path, _, name = row.test.partition("::")
        file = ROOT / path
        assert file.is_file(), row
        names = {
            node.name
            for node in ast.parse(file.read_text()).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in names, row


def test_each_row_says_all_and_none_says_it_twice() -> None:
    rows = _rows()
    assert all(cell for row in rows for cell in (row.ends, row.dependant, row.follows, row.way_out, row.test))
    assert len({(row.ends, row.dependant) for row in rows}) == len(rows)
