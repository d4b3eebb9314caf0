"""What a floor does for each operation: the bytes it answers and the SQL it sends, as values that travel as JSON."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
    BACKLOG = "backlog"
    """One call works off all that waits in the floor's tables."""


@dataclass(frozen=True, slots=True)
class BacklogSql:
    """How a floor works off what waits, until a claim finds nothing.

    `claim` gives rows: their first column is the id, and each of `statements` takes one column as its only argument,
    in order. They run in a transaction a row. `mark`, where there is one, takes the ids of a claim when all are done.
    """

    claim: str
    statements: Sequence[str]
    mark: str = ""


@dataclass(frozen=True, slots=True)
class FloorMethod:
    """One method of a floor.

    `call_arguments` are taken in turn, one entry a call, so that a floor never parses a request. With `transaction`
    the statements run in one. `positions_per_message` counts for UPLINK; its `answer` is what watchers get. `backlog`
    is that of BACKLOG.
    """

    operation: str
    shape: Shape
    answer: bytes = b""
    statements: Sequence[str] = ()
    call_arguments: Sequence[Arguments] = ()
    transaction: bool = False
    positions_per_message: int = 1
    backlog: BacklogSql | None = None

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
                "backlog": None if method.backlog is None else asdict(method.backlog),
            }
            for method in methods
        ]
    )


def load(text: str) -> list[FloorMethod]:
    """The methods of `dump`."""
    return [
        FloorMethod(
            **{
                **item,
                "shape": Shape(item["shape"]),
                "answer": base64.b64decode(item["answer"]),
                "backlog": None if item["backlog"] is None else BacklogSql(**item["backlog"]),
            }
        )
        for item in json.loads(text)
    ]
