"""What a reader has seen: Postgres' own snapshot as a value, by which rows that carry their transaction's number are
told apart into those that were committed by then and those that came later.

Numbers of transactions are given at their beginnings, so a reader that only remembered the highest one would lose what
committed after it under a lower one. A horizon also names those that were still running.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

CURRENT: Final = "pg_current_snapshot()::text"
"""SQL: the horizon of the statement, for `Horizon.parse`."""
NUMBER: Final = "pg_current_xact_id()::text::bigint"
"""SQL: the number of the running transaction, for the column that says which one has written a row."""
MAX_PACKED: Final = 100
"""So many running transactions stand in a packed horizon."""
_HEAD: Final = struct.Struct(">QB")


@dataclass(frozen=True, slots=True)
class Horizon:
    """All transactions below `end` but those of `running` were over.

    running: ascending, all below `end`. Two horizons of one database are never beside each other: one has seen all that
    the other has.
    """

    end: int
    running: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The horizon in the text of a pg_snapshot, `xmin:xmax:running`."""
        _, end, running = text.split(":")
        return cls(int(end), tuple(sorted(map(int, running.split(",")))) if running else ())

    @property
    def begin(self) -> int:
        """Everything below is seen."""
        return self.running[0] if self.running else self.end

    @property
    def rank(self) -> int:
        """Grows with what is seen; two horizons of the same rank have seen the same."""
        return self.end - len(self.running)

    def sees(self, number: int) -> bool:
        """Whether the transaction was over."""
        return number < self.end and number not in self.running

    @property
    def fits(self) -> bool:
        """Whether `pack` keeps all of it."""
        return len(self.running) <= MAX_PACKED

    def pack(self) -> bytes:
        """It in bytes. What does not fit counts as not seen: then something is told twice, and nothing is lost."""
        whole = self if self.fits else Horizon(self.running[MAX_PACKED], self.running[:MAX_PACKED])
        packed = bytearray(_HEAD.pack(whole.end, len(whole.running)))
        above = whole.end
        for number in reversed(whole.running):
            _put(packed, above - number)
            above = number
        return bytes(packed)

    @classmethod
    def unpack(cls, packed: bytes, place: int = 0) -> tuple[Self, int]:
        """The horizon that begins at that place, and where it ends. Raises ValueError for what `pack` has not made."""
        try:
            end, count = _HEAD.unpack_from(packed, place)
        except struct.error as error:
            raise ValueError("too short for a horizon") from error
        place += _HEAD.size
        running: list[int] = []
        number = end
        for _ in range(count):
            below, place = _get(packed, place)
            number -= below
            running.append(number)
        return cls(end, tuple(reversed(running))), place


def unseen_sql(column: str, begin: str, end: str, running: str) -> str:
    """SQL: whether a horizon, given as arguments, has not seen the column's transaction; `begin` serves indexes."""
    return f"{column} >= {begin} AND ({column} >= {end} OR {column} = ANY({running}::bigint[]))"


def seen_sql(column: str, end: str, running: str) -> str:
    """SQL: whether a horizon, given as arguments, has seen the transaction in the column."""
    return f"{column} < {end} AND {column} <> ALL({running}::bigint[])"


def _put(packed: bytearray, number: int) -> None:
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _get(packed: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if place >= len(packed):
            raise ValueError("too short for a horizon")
        byte = packed[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
