"""SQL in repositories: arrays that are numbered, typed and filled in one order; rows that become values by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from marketd.kernel.db.sql import Arrays, Columns


@dataclass(frozen=True)
class _Thing:
    thing_id: int
    place: tuple[str, ...]
    note: str | None = None


def test_every_column_is_an_array_of_its_type_and_jsonb_goes_over_as_text() -> None:
    things: Arrays[_Thing] = Arrays(
        {"note": "text", "place": "jsonb", "thing_id": "bigint"}, writers={"place": "".join}
    )
    assert things.sql == "note, place, thing_id"
    assert things.places(4) == "$4::text[], $5::text[], $6::bigint[]"
    assert things.select("n") == "n.note, n.place::jsonb, n.thing_id"
    assert things.of([_Thing(1, ("a", "b")), _Thing(2, (), "x")]) == [(None, "x"), ["ab", ""], (1, 2)]
    assert things.of([]) == [(), (), ()]
    assert len(things) == 3


def test_a_writer_of_a_column_that_is_not_written_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="other is not written"):
        Arrays({"note": "text"}, writers={"other": str})


@dataclass(frozen=True, kw_only=True)
class _Named:
    second: str = ""
    first: int


def test_values_are_made_by_name_whether_or_not_they_take_their_fields_by_place() -> None:
    row: Any = {"first": 1, "note": "n", "second": "2", "thing_id": 3, "place": ["x"]}
    assert Columns(_Named).value(row) == _Named(first=1, second="2")
    assert Columns(_Thing).value(row) == _Thing(3, ("x",), "n")
    assert Columns(_Thing).from_tuple((3, ["x"], None)) == _Thing(3, ("x",))


def test_fields_that_are_left_out_are_neither_read_nor_filled() -> None:
    columns = Columns(_Thing, table="t", without=("note",))
    assert columns.sql == "t.thing_id, t.place"
    row: Any = {"thing_id": 3, "place": ["x"], "note": "n"}
    assert columns.value(row) == _Thing(3, ("x",))
