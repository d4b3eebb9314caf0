"""Background work that repeats: soon while there is more, after its pause otherwise, and in spite of refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from marketd.kernel.call.refusals import DatabaseUnavailable
from marketd.kernel.work import repeat


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it was slept each time, which takes no time here."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("marketd.kernel.work.repeat.asyncio.sleep", sleep)
    return slept


async def _repeat(outcomes: list[bool | Exception], pause_seconds: float) -> None:
    """Repeat work that ends in these ways, until the list is through."""
    left: Iterator[bool | Exception] = iter(outcomes)

    async def work() -> bool:
        outcome = next(left, None)
        if outcome is None:
            raise asyncio.CancelledError
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with pytest.raises(asyncio.CancelledError):
        await repeat.repeat("test.work", work, pause_seconds=pause_seconds)


async def test_a_sweep_of_the_hour_hurries_while_there_is_more_and_tries_again_within_ten_seconds_of_a_refusal(
    pauses: list[float],
) -> None:
    await _repeat([True, True, False, DatabaseUnavailable(), False], 3600)
    assert pauses == [0.5, 0.5, 3600, 10, 3600]


async def test_a_refusal_is_waited_out_no_longer_than_the_works_own_pause(pauses: list[float]) -> None:
    await _repeat([DatabaseUnavailable(), False], 1)
    assert pauses == [1, 1]


async def test_a_bug_is_no_refusal(pauses: list[float]) -> None:
    with pytest.raises(LookupError):
        await repeat.repeat("test.work", _broken, pause_seconds=1)
    assert pauses == []


async def _broken() -> bool:
    raise LookupError("a bug")
