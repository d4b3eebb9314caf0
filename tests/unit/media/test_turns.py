"""Whose upload is made into a picture next."""

from __future__ import annotations

import asyncio

import pytest
from marketd.kernel.call.refusals import Overloaded
from marketd.media.rendering.turns import Turns


class Desk:
    """One place, and who was there in which order."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(1, most)
        self.seen: list[str] = []
        self._go = asyncio.Event()

    async def _come(self, owner: str) -> None:
        async with self.turns.taken(owner):
            self.seen.append(owner)
            await self._go.wait()

    async def comes(self, *owners: str) -> list[asyncio.Task[None]]:
        """They come one after another."""
        tasks = []
        for owner in owners:
            tasks.append(asyncio.create_task(self._come(owner)))
            await asyncio.sleep(0)
        return tasks

    async def works(self) -> str:
        """Serve all that wait."""
        self._go.set()
        for _ in range(60):
            await asyncio.sleep(0)
        return "".join(self.seen)


async def test_one_of_each_comes_before_a_second_of_anybody() -> None:
    desk = Desk(10)
    await desk.comes("a", "a", "a", "a", "b", "b", "c")
    assert await desk.works() == "aabcaba"


async def test_who_has_most_waiting_gives_way_when_it_is_full() -> None:
    desk = Desk(3)
    tasks = await desk.comes("a", "a", "a", "a", "a", "b", "c", "b", "c")
    # The fifth finds it full of its own; then b and c push out one each; what would only turn the tables is refused.
    refused = [task.done() and isinstance(task.exception(), Overloaded) for task in tasks]
    assert refused == [False, False, True, True, True, False, False, True, True]
    assert await desk.works() == "aabc"


async def test_who_leaves_takes_no_place_along() -> None:
    desk = Desk(3)
    _, second, third = await desk.comes("a", "b", "c")
    second.cancel()
    await asyncio.wait([second])
    desk._go.set()
    await asyncio.sleep(0)  # the place is c's from now on, and c does not know it yet
    third.cancel()
    await asyncio.wait([third])
    (last,) = await desk.comes("d")
    await last
    assert desk.seen[-1] == "d"
    with pytest.raises(asyncio.CancelledError):
        await third
