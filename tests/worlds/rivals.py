"""Two processes that call a server at the same instant, to race what must not come between each other.

`python -m tests.worlds.rivals PORT` is one of them: it reads a line for each round, waits for the instant that the line
names, sends its calls, and writes what became of them. The monotonic clock is one for all processes of a machine, so an
instant a little ahead is a barrier that costs neither of them a message.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from google.protobuf.message import Message
from marketplace_client import MarketplaceError

from tests.worlds.lines import RULES, Account, Lines

AHEAD_SECONDS: Final = 0.03
"""How long before the instant both have their line."""
_CONNECTIONS: Final = 8


@dataclass(frozen=True)
class Move:
    """One call of a rival, and how long after the instant it is sent."""

    account: Account
    request: Message
    after_seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a move: its answer, or the reason of the refusal."""

    answer: Any = None
    reason: str = ""
    message: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether it was done."""
        return not self.reason


class Rival:
    """A process that sends calls when it is told to."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.worlds.rivals", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        # Until its connections stand, it is no rival.
        self._hear()

    def send(self, instant: float, moves: Sequence[Move]) -> None:
        """Have it make these moves, all at once, at this instant of the monotonic clock."""
        calls = [
            [
                RULES[type(move.request)].method,
                move.request.SerializeToString().hex(),
                [move.account.user_id, move.account.email, move.account.token],
                move.after_seconds,
            ]
            for move in moves
        ]
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"instant": instant, "calls": calls}) + "\n")

    def outcomes(self, moves: Sequence[Move]) -> list[Outcome]:
        """What became of the moves that it was sent."""
        found = []
        for move, (payload, reason, message) in zip(moves, json.loads(self._hear()), strict=True):
            response = RULES[type(move.request)].response
            found.append(Outcome(None if reason else response.FromString(bytes.fromhex(payload)), reason, message))
        return found

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a rival ended"
        return line


class Rivals:
    """Two of them, for as long as the block lasts."""

    def __init__(self, port: int) -> None:
        self._both = (Rival(port), Rival(port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for rival in self._both:
            rival.end()

    def race(self, one: Sequence[Move], other: Sequence[Move]) -> tuple[list[Outcome], list[Outcome]]:
        """Have both make their moves at the same instant; what became of them."""
        instant = time.monotonic() + AHEAD_SECONDS
        moves = (one, other)
        for rival, its in zip(self._both, moves, strict=True):
            rival.send(instant, its)
        first, second = (rival.outcomes(its) for rival, its in zip(self._both, moves, strict=True))
        return first, second


async def _move(lines: Lines, instant: float, call: Sequence[Any]) -> tuple[str, str, str]:
    method, payload, (user_id, email, token), after = call
    request = _REQUESTS[method].FromString(bytes.fromhex(payload))
    await asyncio.sleep(max(0.0, instant + after - time.monotonic()))
    try:
        answer = await lines.settle(Account(user_id, email, token), request)
    except MarketplaceError as error:
        return "", error.reason or error.code.name, error.message
    return answer.payload.hex(), "", ""


async def _serve(port: int) -> None:
    async with Lines(port, _CONNECTIONS) as lines:
        await asyncio.gather(*(channel.channel_ready() for channel in lines.channels))
        print("ready", flush=True)  # noqa: T201 - what its parent waits for
        while line := await asyncio.to_thread(sys.stdin.readline):
            told = json.loads(line)
            found = await asyncio.gather(*(_move(lines, told["instant"], call) for call in told["calls"]))
            print(json.dumps(found), flush=True)  # noqa: T201 - its answer


_REQUESTS: Final = {rule.method: rule.request for rule in RULES.values()}

if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
