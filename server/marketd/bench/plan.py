"""What a floor does for each operation: the bytes it answers and the SQL it sends, as values that travel as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Argument: TypeAlias = "str | int | Mapping[str, int] | Sequence[Argument]"
"""A statement's argument. `{"new": n}` stands for the call's n-th new id, also inside an array."""

Arguments = Sequence[Sequence[Argument]]
"""The arguments of one call: a list for each statement."""


class Shape(StrEnum):
    """How a floor's method talks."""

    UNARY = "unary"
    UPLINK = "uplink"
    """Messages in, an acknowledgement for one in ten of them."""
    WATCH = "watch"
    """One answer at the start, then one for each message that came over the uplink."""


@dataclass(frozen=True, slots=True)
class FloorMethod:
    """One method of a floor.

    `call_arguments` are taken in turn, one entry a call, so that a floor never parses a request. With `transaction`
    the statements run in one. `positions_per_message` counts for UPLINK; its `answer` is what watchers get.
    """

    operation: str
    shape: Shape
    answer: bytes = b""
    statements: Sequence[str] = ()
    call_arguments: Sequence[Arguments] = ()
    transaction: bool = False
    positions_per_message: int = 1

    @property
    def path(self) -> str:
        """The rpc's path on the floor; about as long as a real one."""
        return f"/marketd.floor.v1.FloorService/{self.operation}"


def dump(methods: Sequence[FloorMethod]) -> str:
    """The methods as JSON."""
    return json.dumps(
        [
            {
                "operation": method.operation,
                "shape": method.shape,
                "answer": base64.b64encode(method.answer).decode(),
                "statements": list(method.statements),
                "call_arguments": method.call_arguments,
                "transaction": method.transaction,
                "positions_per_message": method.positions_per_message,
            }
            for method in methods
        ]
    )


def load(text: str) -> list[FloorMethod]:
    """The methods of `dump`."""
    return [
        FloorMethod(**{**item, "shape": Shape(item["shape"]), "answer": base64.b64decode(item["answer"])})
        for item in json.loads(text)
    ]
