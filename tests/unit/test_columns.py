"""Rows that become values: every field by its column's name, enums and tuples made, composite values by their order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import cast

import pytest
from marketd.kernel.db.database import Record
from marketd.kernel.db.sql import Columns


class _Size(StrEnum):
    SMALL = "SMALL"
    LARGE = "LARGE"


@dataclass(frozen=True, slots=True)
class _Cup:
    size: _Size
    colors: tuple[str, ...]
    others: frozenset[_Size] | None
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jug:
    size: _Size
    name: str


def _row(**columns: object) -> Record:
    return cast("Record", columns)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.strip("{}").split(","))


CUP = _Cup(_Size.LARGE, ("red", "blue"), None, "Cup")


def test_a_row_is_read_by_name_whatever_its_order_and_its_further_columns() -> None:
    row = _row(more=1, name="Cup", others=None, colors=["red", "blue"], size="LARGE")
    assert Columns(_Cup).value(row) == CUP
    assert Columns(_Cup).optional(row) == CUP
    assert Columns(_Cup).optional(None) is None
    assert Columns(_Jug).value(row) == _Jug(size=_Size.LARGE, name="Cup")


def test_a_composite_value_is_read_in_the_order_of_its_own_text() -> None:
    columns = Columns(_Cup, table="c", expressions={"colors": "c.colors::text"}, readers={"colors": _words})
    assert columns.row_sql == "ROW(c.size, c.colors::text, c.others, c.name)"
    assert columns.sql == "c.size, c.colors::text AS colors, c.others, c.name"
    read = columns.from_tuple(("SMALL", "{red,blue}", ["LARGE"], "Cup"))
    assert read == _Cup(_Size.SMALL, ("red", "blue"), frozenset({_Size.LARGE}), "Cup")
    assert Columns(_Jug).from_tuple(("SMALL", "Jug")) == _Jug(size=_Size.SMALL, name="Jug")


@pytest.mark.parametrize("composite", [("SMALL", "Jug", "more"), ("SMALL",)])
def test_a_composite_value_of_another_length_is_no_value(composite: tuple[str, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Columns(_Jug).from_tuple(composite)


def test_a_column_for_no_field_keeps_the_process_from_starting() -> None:
    with pytest.raises(TypeError):
        Columns(_Cup, expressions={"weight": "0"})
