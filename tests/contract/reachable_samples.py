"""What test_reachable.py looks into: refusals on all the ways on which the server's code comes by them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar

from marketd.kernel.call.refusals import ConcurrentUpdate, DeadlineExceeded, Draining, Overloaded, Refusal

T = TypeVar("T")


class Port(Protocol):
    """Something that slices above put in."""

    def ask(self) -> None:
        """Raises what the implementation does."""


class Called(Protocol):
    """A function that slices above put in."""

    def __call__(self) -> None:
        """Raises what the function does."""


class Implementation:
    """The only class with the port's methods."""

    def ask(self) -> None:
        """Raises Draining."""
        raise Draining


class Kind:
    """What has something below it."""

    def act(self) -> None:
        """Raises nothing by itself."""


class Below(Kind):
    """Acts otherwise."""

    def act(self) -> None:
        """Raises Overloaded."""
        raise Overloaded


@dataclass(frozen=True)
class Judged:
    """A refusal that waits to be raised."""

    late: bool

    def refusal(self) -> Draining | Overloaded:
        """The one that fits."""
        return Draining() if self.late else Overloaded()


@dataclass(frozen=True)
class Checked:
    """Refuses what it is made of."""

    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise Draining

    @property
    def root(self) -> int:
        """Raises DeadlineExceeded for some."""
        if self.number > 9:
            raise DeadlineExceeded
        return self.number


class Servicer:
    """Has parts, as servicers do."""

    def __init__(self, port: Port, called: Called, by_name: Mapping[str, Kind]) -> None:
        self._port = port
        self._called = called
        self._by_name = by_name

    def through_a_port(self) -> None:
        """Draining."""
        self._port.ask()

    def through_a_function(self) -> None:
        """Overloaded, which the test puts in."""
        self._called()

    def of_a_mapping(self, name: str) -> None:
        """Overloaded, of the class below."""
        kind = self._by_name.get(name)
        if kind is not None:
            kind.act()


def straight() -> None:
    """Draining."""
    raise Draining


def through_another() -> None:
    """Draining."""
    straight()


def caught() -> None:
    """Nothing."""
    try:
        through_another()
    except Draining:
        return


def suppressed() -> None:
    """Nothing."""
    with suppress(Draining, Overloaded):
        through_another()


def translated() -> None:
    """Overloaded in its place."""
    try:
        through_another()
    except Refusal as refusal:
        raise Overloaded from refusal


def caught_and_raised_again() -> None:
    """Draining."""
    try:
        through_another()
    except Refusal as refusal:
        if refusal.message:
            raise refusal
        raise


def caught_otherwise() -> None:
    """Draining."""
    try:
        through_another()
    except Overloaded:
        return


async def run(work: Callable[[int], Awaitable[T]]) -> T:
    """What the work does."""
    return await work(1)


async def _work(number: int) -> Judged | Overloaded:
    if number:
        raise ConcurrentUpdate
    return Overloaded()


async def handed_over() -> None:
    """ConcurrentUpdate of the work, and Overloaded, which it gives back."""
    outcome = await run(lambda number: _work(number))
    if isinstance(outcome, Overloaded):
        raise outcome


async def judged() -> None:
    """Draining and Overloaded, by what `refusal` gives, and what the work raises."""

    async def inside(number: int) -> Judged:
        return Judged(late=number > 0)

    found = await run(inside)
    raise found.refusal()


def made(number: int) -> int:
    """Draining of `__post_init__`, and DeadlineExceeded of the property."""
    return Checked(number).root


def in_a_loop(all_of: Sequence[Kind]) -> None:
    """Overloaded, of the class below."""
    for each in all_of:
        each.act()


@contextmanager
def guarded() -> Iterator[None]:
    """Overloaded, when the body went well."""
    yield
    raise Overloaded


def in_a_context() -> None:
    """Overloaded."""
    with guarded():
        pass


def round_and_round(number: int) -> None:
    """Draining and Overloaded: the two call each other."""
    if number > 3:
        raise Overloaded
    round_again(number)


def round_again(number: int) -> None:
    """Draining and Overloaded."""
    if number == 0:
        raise Draining
    round_and_round(number - 1)


def from_elsewhere(refusal: Refusal) -> None:
    """Something that nobody knows here."""
    raise refusal
