"""Between a closed set of the contract and ours. With wire.py the one kernel room that knows protobuf.

A map is built when its module is imported, so a value that one side has and the other lacks keeps the process from
starting instead of failing somebody's call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

E = TypeVar("E", bound=StrEnum)
W = TypeVar("W", bound=int)


class EnumMap(Generic[E, W]):
    """`ours` beside the contract's `theirs`, whose names are a prefix and our value (AIP-126).

    The value 0 of the contract is "unspecified"; only a set of ours that keeps it as UNSPECIFIED has a counterpart.
    `only_theirs` and `only_ours` name, without the prefix, what one side has alone.
    """

    def __init__(
        self,
        ours: type[E],
        theirs: _EnumTypeWrapper[W],
        *,
        only_theirs: Collection[str] = (),
        only_ours: Collection[str] = (),
    ) -> None:
        names = dict(theirs.items())
        zero, self._unspecified = next((name, number) for name, number in names.items() if number == 0)
        prefix = zero.removesuffix("UNSPECIFIED")
        keeps_zero = any(member.value == "UNSPECIFIED" for member in ours)
        wire = {name.removeprefix(prefix): number for name, number in names.items() if number or keeps_zero}
        missing = set(wire) ^ {member.value for member in ours}
        unsaid = missing - set(only_theirs) - set(only_ours)
        if unsaid:
            raise TypeError(f"{ours.__name__} and {prefix}* do not agree on {', '.join(sorted(unsaid))}")
        self._to_wire: dict[E, W] = {member: wire[member.value] for member in ours if member.value in wire}
        self._from_wire: dict[int, E] = {number: member for member, number in self._to_wire.items()}

    def to_wire(self, member: E) -> W:
        """The contract's number."""
        return self._to_wire[member]

    def optional_to_wire(self, member: E | None) -> W:
        """The contract's number, "unspecified" for None."""
        return self._unspecified if member is None else self._to_wire[member]

    def from_wire(self, number: int) -> E:
        """Our value. Raises KeyError for "unspecified", which a rule of the contract refuses where it means nothing."""
        return self._from_wire[number]

    def optional_from_wire(self, number: int) -> E | None:
        """Our value, None for "unspecified"."""
        return self._from_wire.get(number)

    def all_from_wire(self, numbers: Iterable[int]) -> tuple[E, ...]:
        """Our values, in the order given."""
        return tuple(self._from_wire[number] for number in numbers)

    def all_to_wire(self, members: Iterable[E]) -> list[W]:
        """The contract's numbers, sorted."""
        return sorted(self._to_wire[member] for member in members)
