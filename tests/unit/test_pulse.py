"""When a worker counts as hanging, and that only an event loop that goes round says that it lives."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress

import pytest
from marketd.process.supervision.pulse import STARTING_SECONDS, Silence, beat


def _turns(silence: Silence, seconds: float, *, is_busy: bool = False) -> None:
    for _ in range(round(seconds * 4)):
        silence.lasted(0.25, is_busy=is_busy)


def test_a_worker_that_was_heard_and_then_is_silent_for_too_long_hangs() -> None:
    silence = Silence(5)
    silence.heard()
    _turns(silence, 5)
    assert not silence.is_too_long
    _turns(silence, 0.25)
    assert silence.is_too_long


def test_a_beat_begins_the_count_anew() -> None:
    silence = Silence(5)
    for _ in range(10):
        silence.heard()
        _turns(silence, 4.75)
        assert not silence.is_too_long


def test_what_the_supervisor_slept_through_is_no_silence() -> None:
    silence = Silence(5)
    silence.heard()
    silence.lasted(3_600, is_busy=False)
    assert not silence.is_too_long
    assert silence.seconds <= 0.5


def test_a_worker_that_starts_has_more_time_and_not_all_of_it() -> None:
    silence = Silence(5)
    _turns(silence, STARTING_SECONDS)
    assert not silence.is_too_long
    _turns(silence, 1)
    assert silence.is_too_long


def test_a_worker_that_computes_has_more_time_and_not_all_of_it() -> None:
    silence = Silence(5)
    silence.heard()
    _turns(silence, 29, is_busy=True)
    assert not silence.is_too_long
    _turns(silence, 2, is_busy=True)
    assert silence.is_too_long


def test_without_a_bound_none_hangs() -> None:
    silence = Silence(0)
    _turns(silence, STARTING_SECONDS * 2)
    silence.heard()
    _turns(silence, STARTING_SECONDS * 2)
    assert not silence.is_too_long


async def test_an_event_loop_beats_and_a_blocked_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketd.process.supervision.pulse.BEAT_SECONDS", 0.01)
    read, write = os.pipe()
    os.set_blocking(read, False)
    beating = asyncio.create_task(beat(write))
    async with asyncio.timeout(20):
        heard = b""
        while len(heard) < 3:
            await asyncio.sleep(0.01)
            heard += os.read(read, 1)
    with suppress(BlockingIOError):
        while True:
            os.read(read, 4096)
    time.sleep(0.1)  # noqa: ASYNC251 - a blocked loop is what this is about
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    beating.cancel()
    os.close(read)
    os.close(write)


async def test_a_full_pipe_and_one_that_nobody_reads_any_more_stop_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketd.process.supervision.pulse.BEAT_SECONDS", 0.001)
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    beating = asyncio.create_task(beat(write))
    await asyncio.sleep(0.01)
    os.close(read)
    await asyncio.sleep(0.01)
    assert not beating.done()
    beating.cancel()
    os.close(write)
