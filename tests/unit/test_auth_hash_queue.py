"""Who is hashed next: known before strangers, nobody never, and no lane, account or call takes more than its room."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from marketd.auth.accounts.hash_queue import (
    MAX_OF_ACCOUNT,
    STRANGER,
    THREADS,
    Asker,
    HashQueue,
    Lane,
    Turn,
)
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.refusals import Overloaded
from marketd.kernel.values.ids import new_id

ROOM = 16


def known(user_id: UUID | None = None) -> Asker:
    """Somebody at home, of an account of their own unless told otherwise."""
    return Asker(Lane.KNOWN, user_id or new_id())


def elsewhere() -> Asker:
    """Somebody with a device that is known, somewhere else."""
    return Asker(Lane.DEVICE, new_id())


class Counter:
    """A queue whose threads are held until `open`, and who was served, in order."""

    def __init__(self) -> None:
        self.queue = HashQueue(max_waiting=ROOM)
        self.served: list[str] = []
        self._gate = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def enter(self, name: str, asker: Asker, turn: Turn | None = None) -> asyncio.Task[None]:
        """Ask for a hash."""

        def work() -> None:
            self._gate.wait(10)
            self.served.append(name)

        task = asyncio.create_task(self.queue.run(work, turn or Turn(), asker))
        self._tasks.append(task)
        return task

    async def fill(self) -> None:
        """Give every thread something to do; these are not noted."""

        def work() -> None:
            self._gate.wait(10)

        for _ in range(THREADS):
            self._tasks.append(asyncio.create_task(self.queue.run(work, Turn(), STRANGER)))
        await asyncio.sleep(0)

    async def open(self) -> list[str]:
        """Let the threads go on until nothing waits; in which order they came, as far as two threads tell."""
        self._gate.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.served

    def close(self) -> None:
        """End the threads."""
        self._gate.set()
        self.queue.close()


@pytest.fixture
def counter() -> Iterator[Counter]:
    made = Counter()
    yield made
    made.close()


async def test_who_is_known_is_served_before_the_strangers_who_came_first(counter: Counter) -> None:
    await counter.fill()
    for _ in range(ROOM):
        counter.enter("stranger", STRANGER)
    for _ in range(2):
        counter.enter("device", elsewhere())
    for _ in range(4):
        counter.enter("known", known())
    served = await counter.open()
    # Two threads write the list, and of eight turns one is a stranger's: who comes last of them is what is certain.
    assert max(place for place, name in enumerate(served) if name == "known") < 4 + 2 + THREADS
    assert max(place for place, name in enumerate(served) if name == "device") < 4 + 2 + 1 + THREADS
    assert len(served) == ROOM + 6


async def test_a_full_lane_of_strangers_leaves_the_others_their_room(counter: Counter) -> None:
    await counter.fill()
    strangers = [counter.enter("stranger", STRANGER) for _ in range(ROOM + 5)]
    friends = [counter.enter("known", known()) for _ in range(ROOM + 3)]
    await counter.open()
    refused = [isinstance(task.exception(), Overloaded) for task in strangers]
    assert refused == [False] * ROOM + [True] * 5
    assert [isinstance(task.exception(), Overloaded) for task in friends] == [False] * ROOM + [True] * 3


async def test_while_strangers_are_turned_away_they_leave_a_thread_free_and_otherwise_use_all(
    counter: Counter,
) -> None:
    gates = [threading.Event() for _ in range(THREADS)]
    first = [asyncio.create_task(counter.queue.run(gate.wait, Turn(), STRANGER)) for gate in gates]
    await asyncio.sleep(0)
    turns = [Turn() for _ in range(ROOM)]
    for turn in turns:
        counter.enter("stranger", STRANGER, turn)
    await asyncio.sleep(0)
    gates[0].set()
    await first[0]
    assert [turn.begun for turn in turns] == [True] + [False] * (ROOM - 1)
    counter.enter("stranger", STRANGER)
    with pytest.raises(Overloaded):
        await counter.enter("stranger", STRANGER)
    gates[1].set()
    await first[1]
    assert sum(turn.begun for turn in turns[1:]) == 0
    friend = Turn()
    counter.enter("known", known(), friend)
    await asyncio.sleep(0)
    assert friend.begun
    assert (await counter.open()).count("stranger") == ROOM + 1


async def test_strangers_get_a_turn_of_eight_however_many_known_ones_wait(counter: Counter) -> None:
    await counter.fill()
    counter.enter("stranger", STRANGER)
    counter.enter("device", elsewhere())
    for _ in range(ROOM):
        counter.enter("known", known())
    served = await counter.open()
    assert served.index("stranger") < 8 + THREADS
    assert served.index("device") < 8 + THREADS


async def test_one_account_takes_no_more_than_its_part_of_the_better_lane(counter: Counter) -> None:
    await counter.fill()
    greedy = new_id()
    for _ in range(MAX_OF_ACCOUNT + 6):
        counter.enter("greedy", known(greedy))
    for _ in range(3):
        counter.enter("known", known())
    served = await counter.open()
    assert max(place for place, name in enumerate(served) if name == "known") < MAX_OF_ACCOUNT + 3 + 1 + THREADS
    # And when they are done, the account is known as before.
    counter.served.clear()
    await counter.enter("greedy", known(greedy))
    assert counter.queue._of_account == {}


async def test_who_guesses_the_name_of_a_device_does_not_take_the_places_of_who_is_at_home(counter: Counter) -> None:
    await counter.fill()
    owner = new_id()
    for _ in range(MAX_OF_ACCOUNT):
        counter.enter("guess", Asker(Lane.DEVICE, owner))
    for _ in range(ROOM):
        counter.enter("stranger", STRANGER)
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        counter.queue.check_room(Asker(Lane.DEVICE, owner))
    counter.queue.check_room(known(owner))


async def test_a_call_that_is_over_leaves_its_place_to_the_next(counter: Counter) -> None:
    await counter.fill()
    turns = [Turn() for _ in range(ROOM)]
    waiting = [counter.enter("left", known(), turn) for turn in turns]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        counter.queue.check_room(known())
    for task in waiting:
        task.cancel()
    for task in waiting:
        with suppress(asyncio.CancelledError):
            await task
    counter.queue.check_room(known())
    counter.enter("known", known())
    assert await counter.open() == ["known"]
    assert not any(turn.begun for turn in turns)


async def test_a_stranger_who_is_overtaken_until_it_is_too_late_is_refused_before_the_call_is_over(
    counter: Counter,
) -> None:
    await counter.fill()
    calls.enter(Call(deadline=time.monotonic() + 0.05))
    late = counter.enter("late", STRANGER, turn := Turn())
    with pytest.raises(Overloaded):
        await late
    assert await counter.open() == []
    assert not turn.begun


async def test_what_fails_in_a_thread_fails_for_its_caller_and_leaves_the_thread_to_the_next(counter: Counter) -> None:
    def broken() -> None:
        raise ValueError

    for _ in range(THREADS + 1):
        with pytest.raises(ValueError, match=r"^$"):
            await counter.queue.run(broken, Turn(), STRANGER)
    assert await counter.queue.run(lambda: 7, Turn(), STRANGER) == 7


async def test_closing_drops_what_waits(counter: Counter) -> None:
    await counter.fill()
    waiting = counter.enter("known", known())
    await asyncio.sleep(0)
    counter.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await counter.open() == []
