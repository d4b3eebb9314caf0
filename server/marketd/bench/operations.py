"""What every measured operation is: how it is prepared, what load it gets, what its floor does, what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from marketd.bench.backlog import Backlog
from marketd.bench.h2load import SameCall
from marketd.bench.plan import FloorMethod
from marketd.bench.work import Found, Work
from marketd.bench.world import CALL_SECONDS, Account, World, bearer

T = TypeVar("T")

IN_FLIGHT = 16
CONNECTIONS = 2
"""Of each load process, in a closed loop."""

SERVER, DEFAULT, TUNED = "server", "default", "tuned"


class Mismatch(Exception):
    """Calls were answered OK, and their effects are not there."""


@dataclass(frozen=True, slots=True)
class Target:
    """The most server CPU a call may cost, as a multiple of the tuned floor's, and of the default floor's if said."""

    tuned: float
    default: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One of those that are measured in turn: the server, or one of its floors."""

    name: str
    target: str
    pids: Sequence[int]

    @property
    def is_floor(self) -> bool:
        """Whether its answers do not come from the server."""
        return self.name != SERVER


@dataclass(frozen=True, slots=True)
class Round:
    """How long a round is, and whether everything is small because it only has to be shown to work."""

    seconds: float
    quick: bool


class Operation(Protocol):
    """One line of the benchmark."""

    @property
    def name(self) -> str:
        """As it is printed."""
        ...

    @property
    def target(self) -> Target | None:
        """What it may cost; None where nothing is promised."""
        ...

    @property
    def note(self) -> str:
        """What a reader of the figures must know; may be empty."""
        ...

    @property
    def cold(self) -> bool:
        """Whether it runs on the server without an answer cache."""
        ...

    @property
    def settles(self) -> bool:
        """Whether calls leave work behind that is theirs, to be waited for and counted."""
        ...

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Seed what it needs, call it once, and say what a floor has to do for it."""
        ...

    async def copied(self, world: World) -> None:
        """The floors' tables were made; add rows to them where more is needed."""
        ...

    async def begin(self, world: World) -> None:
        """Its rounds are about to begin: access tokens get fresh."""
        ...

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Sequence[Work] | SameCall | Backlog:
        """The load of one round, in at most `processes` pieces; may take its time to prepare it."""
        ...

    def absorb(self, side: Side, found: Found) -> None:
        """A round is over; the next one goes on from here."""
        ...

    async def verify(self, world: World) -> None:
        """All rounds are over: raise Mismatch unless the server's data shows what the answers promised."""
        ...


class Plain:
    """What most operations have in common: nothing of all this."""

    note: str = ""
    cold = False
    settles = False

    async def copied(self, world: World) -> None:
        """No rows are needed."""

    def absorb(self, side: Side, found: Found) -> None:
        """Rounds know nothing of each other."""

    async def verify(self, world: World) -> None:
        """An OK answer of the right size is all there is to see of a read."""


def split(items: Sequence[T], parts: int) -> list[Sequence[T]]:
    """The items in turn to each part; no part is empty unless there are fewer items than parts."""
    return [items[part::parts] for part in range(min(parts, len(items)))]


async def capture(world: World, path: str, request: bytes, caller: Account | None) -> bytes:
    """The server's answer to one call, as its bytes."""
    method: Any = world.channel.unary_unary(path)
    answer: bytes = await method(request, metadata=bearer(caller) if caller is not None else None, timeout=CALL_SECONDS)
    return answer


def path_on(side: Side, path: str, method: FloorMethod) -> str:
    """The rpc's path on this side."""
    return method.path if side.is_floor else path


def expect(name: str, found: object, promised: int) -> None:
    """Raise Mismatch unless as many effects are found as were promised."""
    if found != promised:
        raise Mismatch(f"{name}: {promised} effects were acknowledged and {found} are in the database")
