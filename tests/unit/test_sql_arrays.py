"""Many values in one statement: arrays that are numbered, typed and filled in one order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from marketd.kernel.db.sql import Arrays


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
    assert things.of([_Thing(1, ("a", "b")), _Thing(2, (), "x")]) == [[None, "x"], ["ab", ""], [1, 2]]
    assert things.of([]) == [[], [], []]
    assert len(things) == 3


def test_a_writer_of_a_column_that_is_not_written_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="other is not written"):
        Arrays({"note": "text"}, writers={"other": str})
